"""The operator of mode `dev`: each task is a process in the project's environment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaiaflow import warm
from gaiaflow.operators.base import GRACE, FunctionTask
from gaiaflow.project import calls, variables
from gaiaflow.project.paths import ROOT

if TYPE_CHECKING:
    from airflow.sdk import Context


class ProcessOperator(FunctionTask):
    """Calls the function in a process; its output goes to the task's log."""

    _process: subprocess.Popen[bytes] | warm.WarmTask | None = None

    def call(self, context: Context) -> Any:
        """Run the function and return its result.

        Raises:
            AirflowFailException: the function failed, and retries can't help.
            RuntimeError: the function failed; its output is in the log.
        """
        with tempfile.TemporaryDirectory(prefix="gaiaflow-") as scratch:
            result = Path(scratch, "result.json")
            call = {
                **self.secrets_env(),
                **self.call_env(context),
                variables.RESULT: str(result),
                variables.EDITED: "1",
            }
            self._remember(call, context)
            exit_code = self._run(call)
            if exit_code != 0:
                raise self.failed(exit_code)
            return json.loads(result.read_text(encoding="utf-8"))

    def _remember(self, call: Mapping[str, str], context: Context) -> None:
        """Keep the arguments for `mlops_manager.py call --from-run`."""
        ti, arguments = context["ti"], json.loads(call[variables.ARGUMENTS])
        own = {name: call[name] for name in self.function_env}
        made = calls.Call(arguments, own, ti.dag_id, ti.run_id, ti.task_id)
        with contextlib.suppress(OSError):  # the disk is full: the task may still work
            calls.remember(ROOT, self.spec.function, made)

    def _run(self, call: Mapping[str, str]) -> int:
        """Run the function to its end, and log its output."""
        python, function = os.environ[variables.PYTHON], self.spec.function
        env = warm.base(os.environ)
        read, write = os.pipe()
        # Libraries may read the user's variables when they are imported, which is before a fork.
        if not self.spec.secrets and not self.function_env:
            self._process = warm.start(python, ROOT, function, env, call, write)
        if self._process is None:
            self._process = subprocess.Popen(
                [python, "-m", "gaiaflow.runner", function],
                cwd=ROOT,
                env={**env, **call},
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
            )
        os.close(write)
        output = os.fdopen(read, "rb")
        # Not closed after a timeout: the function may still print while on_kill() waits for it.
        for line in output:
            self.log.info("%s", line.decode("utf-8", errors="backslashreplace").rstrip())
        output.close()
        return self._process.wait()

    def on_kill(self) -> None:
        """End the process and its children before Airflow continues."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # it leads its own group
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
