"""`models`, `promote` and `rollback` of `mlops_manager.py`: the versions of registered models."""

from __future__ import annotations

from datetime import datetime

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, WrongUse
from gaiaflow.mlflow_client import Registry, Version

_METRICS = 3  # shown in the table


class Models(cli.Application):
    """List the versions of all registered models, or those of NAME: aliases and metrics"""

    as_json = cli.Flag("--json", help="print a list of versions with their tags and all metrics")

    def main(self, name: str = "") -> int:
        versions = Registry(common.project()).versions(name)
        if self.as_json:
            console.print_json([version.as_json() for version in versions])
        elif versions:
            columns = ["MODEL", "VERSION", "ALIAS", "REGISTERED", "METRICS"]
            console.out.print(console.table(columns, [_row(version) for version in versions]))
        else:
            console.err.print(
                "No model is registered. A run of the example `landcover` registers one."
            )
        return DONE


class Promote(cli.Application):
    """Make VERSION of the model NAME its champion: maps and serving use it from now on"""

    def main(self, name: str, version: str) -> int:
        if not version.isascii() or not version.isdigit():
            raise WrongUse(
                f"{version!r} is not a version, such as 3.\n"
                f"List them: python3 mlops_manager.py models {name}"
            )
        previous = Registry(common.project()).promote(name, int(version))
        if previous and previous.version == int(version):
            console.err.print(f"Version {version} of {name} is the champion already.")
        else:
            instead = f", instead of version {previous.version}" if previous else ""
            console.out.print(f"Version {version} of {name} is the champion{instead}.")
        return DONE


class Rollback(cli.Application):
    """Make the previous champion of the model NAME the champion again"""

    def main(self, name: str) -> int:
        left, now = Registry(common.project()).roll_back(name)
        console.out.print(
            f"Version {now.version} of {name} is the champion again, instead of version "
            f"{left.version}."
        )
        return DONE


def _row(version: Version) -> list[str]:
    moment = datetime.fromisoformat(version.registered).astimezone()
    # Short names are those of the whole: accuracy, not recall_vegetation.
    names = sorted(version.metrics, key=lambda name: (len(name), name))[:_METRICS]
    metrics = ", ".join(f"{name} {version.metrics[name]:.4g}" for name in names)
    aliases = ", ".join(version.aliases)
    return [version.name, str(version.version), aliases, f"{moment:%Y-%m-%d %H:%M}", metrics]
