"""The command `doctor` of `mlops_manager.py`."""

from __future__ import annotations

from plumbum import cli

from gaiaflow.cli.common import WrongUse
from gaiaflow.doctor.report import report
from gaiaflow.project.project import find_root


class Doctor(cli.Application):
    """Check this machine and this project, and suggest fixes

    `doctor staging` and `doctor prod` check the team's cluster instead: the one in kubectl's
    current context.
    """

    as_json = cli.Flag("--json", help="print a list of {check, level, found, fix} instead")

    def main(self, stage: str = "") -> int:
        if stage not in {"", "staging", "prod"}:
            raise WrongUse(
                f"`doctor` checks this machine, `doctor staging` and `doctor prod` the cluster; "
                f"not {stage!r}."
            )
        root = find_root()
        if not stage:
            return report(root, self.as_json)
        # On demand: Kubernetes' client takes a second to import.
        from gaiaflow.cluster.report import report as report_cluster

        return report_cluster(root, stage, self.as_json)
