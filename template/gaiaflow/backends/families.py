"""Find and stop the processes of a project's services.

This needs only the project's folder: its settings may be broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from gaiaflow.backends import processes
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder


class Families:
    """The records of a project's services in `.gaiaflow/run`, and the processes they point to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = StateFolder(root).run

    def record(self, name: str) -> Path:
        """The file that names the leading process of a service."""
        return self._folder / f"{name}.json"

    def recorded(self) -> set[str]:
        """The names of all services that have a record."""
        return {record.stem for record in self._folder.glob("*.json")}

    def healthy_mark(self, name: str) -> Path:
        """The file that exists once a service has been healthy."""
        return self.record(name).with_suffix(".healthy")

    def leader(self, name: str) -> processes.Leader | None:
        """The process that a service was started as; None if it never was, or was stopped."""
        return processes.recall(self.record(name), self._root)

    def stop(
        self, graces: Mapping[str, float], notify: Callable[[str, str, str], None]
    ) -> list[str]:
        """End services, whatever their state. Return the names of those that were running.

        Args:
            graces: the seconds that each service gets to end before it is killed. Those that get
                most end first.

        Raises:
            GaiaflowError: something could not be ended.
        """
        leaders = {name: self.leader(name) for name in graces}
        stopped = []
        rest: list[psutil.Process] = []
        for attempt in range(3):  # repeat for processes that have started meanwhile
            found = processes.families(self._root, leaders)
            running = {name: members for name, members in found.items() if members}
            if not running:
                break
            for name in running:
                if attempt == 0:
                    stopped.append(name)
                    notify(name, "stopping", "")
            # Leaders first: they know best in which order to end their family.
            for grace in sorted({graces[name] for name in running}, reverse=True):
                heads = [members[0] for name, members in running.items() if graces[name] == grace]
                processes.terminate(heads, grace if attempt == 0 else 0.2)
            found = processes.families(self._root, leaders)
            rest = [process for members in found.values() for process in members]
            rest = processes.terminate(rest, 0.5)
        if rest:
            pids = ", ".join(str(process.pid) for process in rest)
            raise GaiaflowError(f"Some processes could not be ended. See: ps -fp {pids}")
        for name, leader in leaders.items():
            if leader:
                processes.remove_sockets(leader)
            self.record(name).unlink(missing_ok=True)
            self.healthy_mark(name).unlink(missing_ok=True)
            if name in stopped:
                notify(name, "stopped", "")
        return stopped
