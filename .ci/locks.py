"""Bring the lock files of template/gaiaflow/locks up to date.

    python .ci/locks.py              # what is pinned stays so
    python .ci/locks.py --upgrade    # everything moves

airflow.txt, production.txt, mlflow.txt and maps.txt are the locks of the .in files beside them.
project.txt is that of a new project's dependencies: its first uv.lock starts from there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from copier import run_copy
from plumbum import FG, cli, local
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "template" / "gaiaflow" / "locks"
OLDEST = "3.11"  # the Python that projects need at least
CONTAINERS = "3.13"  # the Python of all containers


class Lock(cli.Application):
    """Bring the lock files up to date; what is pinned stays so."""

    upgrade = cli.Flag("--upgrade", help="move everything to the newest releases")

    def main(self) -> int:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder, "project")
            data = {"project_name": "Locked", "example": "segmentation", "setup": "none"}
            quietly = {"defaults": True, "unsafe": True, "quiet": True}
            run_copy(str(ROOT), project, data=data, vcs_ref="HEAD", **quietly)
            source = project / "pyproject.toml"
            groups = [f"--group={source}:{name}" for name in ("dev", "deep-learning")]
            self._lock("project.txt", OLDEST, *groups, source)
        self._lock("airflow.txt", OLDEST, "--generate-hashes", LOCKS / "airflow.in")
        same = ("--constraints", LOCKS / "airflow.txt")
        self._lock("production.txt", OLDEST, "--generate-hashes", *same, LOCKS / "production.in")
        tested = ("--constraints", LOCKS / "project.txt")
        self._lock("mlflow.txt", CONTAINERS, "--generate-hashes", *tested, LOCKS / "mlflow.in")
        self._lock("maps.txt", OLDEST, "--generate-hashes", *tested, LOCKS / "maps.in")
        return 0

    def _lock(self, name: str, python: str, *arguments: str | Path) -> None:
        """Write one lock, for all systems and for this Python and later ones."""
        compiled = local[find_uv_bin()]["pip", "compile", "--quiet", "--universal"]
        options = ["--no-header", "--no-annotate", "--python-version", python]
        if self.upgrade:
            options.append("--upgrade")
        compiled[options][arguments]["--output-file", LOCKS / name] & FG


if __name__ == "__main__":
    Lock.run()
