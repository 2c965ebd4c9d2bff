"""The command `doctor` of `mlops_manager.py`."""

from __future__ import annotations

from plumbum import cli

from gaiaflow.doctor.report import report
from gaiaflow.project.project import find_root


class Doctor(cli.Application):
    """Check this machine and this project, and suggest fixes"""

    as_json = cli.Flag("--json", help="print a list of {check, level, found, fix} instead")

    def main(self) -> int:
        return report(find_root(), self.as_json)
