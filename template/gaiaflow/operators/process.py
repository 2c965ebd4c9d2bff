"""The operator of mode `dev`: each task is a process in the project's environment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaiaflow.operators.base import GRACE, FunctionTask
from gaiaflow.project import inherited, variables
from gaiaflow.project.paths import ROOT

if TYPE_CHECKING:
    from airflow.providers.standard.hooks.subprocess import SubprocessHook
    from airflow.sdk import Context


class ProcessOperator(FunctionTask):
    """Calls the function in a process; its output goes to the task's log."""

    @cached_property
    def _hook(self) -> SubprocessHook:
        from airflow.providers.standard.hooks.subprocess import SubprocessHook

        return SubprocessHook()

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: the function failed, and retries can't help.
            RuntimeError: the function failed; its output is in the log.
        """
        python, root = os.environ[variables.PYTHON], ROOT
        with tempfile.TemporaryDirectory(prefix="gaiaflow-") as scratch:
            result = Path(scratch, "result.json")
            # Hide Airflow's configuration, which has the keys to its database.
            hidden = ("AIRFLOW_", variables.SECRETS, variables.NOTIFY_URLS)
            env = {name: v for name, v in os.environ.items() if not name.startswith(hidden)}
            env |= inherited.task_proxies(os.environ)
            env |= self.secrets_env()
            env |= self.call_env(context)
            env[variables.RESULT] = str(result)
            command = [python, "-m", "gaiaflow.runner", self.spec.function]
            ended = self._hook.run_command(command, env=env, cwd=str(root))
            if ended.exit_code != 0:
                raise self.failed(ended.exit_code)
            return json.loads(result.read_text(encoding="utf-8"))

    def on_kill(self) -> None:
        """End the process and its children before Airflow continues."""
        process = self._hook.sub_process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # it leads its own group
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
