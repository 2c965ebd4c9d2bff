"""The command `doctor` of `mlops_manager.py`."""

from __future__ import annotations

from plumbum import cli

from gaiaflow import settings
from gaiaflow.doctor.report import report


class Doctor(cli.Application):
    """Check this machine and this project, and say what mends what is wrong"""

    as_json = cli.Flag("--json", help="print a list of {check, level, found, fix} instead")

    def main(self) -> int:
        return report(settings.find_root(), self.as_json)
