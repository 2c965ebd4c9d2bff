"""`models`, `promote` and `rollback` of `mlops_manager.py`: the versions of registered models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, WrongUse
from gaiaflow.mlflow_client import Registry, Version
from gaiaflow.project import tracking
from gaiaflow.project.variables import STAGES
from gaiaflow.release.promoting import Promotion, promote

_METRICS = 3  # shown in the table


class InRegistry(cli.Application):
    """A command for this project's registry, or that of a stage."""

    stage = cli.SwitchAttr(
        "--in",
        cli.Set(*STAGES, case_sensitive=True),
        default="",
        argname="STAGE",
        help="in the MLflow of staging or prod, instead of this project's",
    )

    @property
    def option(self) -> str:
        """The same option, for a command to paste."""
        return f" --in {self.stage}" if self.stage else ""

    def registry(self) -> Registry:
        return Registry(tracking.server(common.project(), str(self.stage)))


class Models(InRegistry):
    """List the versions of all registered models, or those of NAME: aliases and metrics"""

    as_json = cli.Flag("--json", help="print a list of versions with their tags and all metrics")

    def main(self, name: str = "") -> int:
        versions = self.registry().versions(name)
        if self.as_json:
            console.print_json([version.as_json() for version in versions])
        elif versions:
            columns = ["MODEL", "VERSION", "ALIAS", "REGISTERED", "METRICS"]
            console.out.print(console.table(columns, [_row(version) for version in versions]))
        elif self.stage:
            console.err.print(f"No model is registered in the MLflow of {self.stage}.")
        else:
            console.err.print(
                "No model is registered. A run of the example `landcover` registers one."
            )
        return DONE


class Promote(InRegistry):
    """Make VERSION of the model NAME its champion, or copy it to another registry

    Maps and serving use a champion from then on. `promote NAME VERSION --to prod` copies a version
    to the MLflow of prod, where it is not the champion yet.
    """

    to = cli.SwitchAttr(
        "--to",
        cli.Set(*STAGES, case_sensitive=True),
        argname="STAGE",
        help="only copy the version, to the MLflow of staging or prod",
    )
    as_json = cli.Flag(
        "--json", help="with --to: print {name, source, target, created, champion} instead"
    )

    def main(self, name: str, version: str) -> int:
        if not version.isascii() or not version.isdigit():
            raise WrongUse(
                f"{version!r} is not a version, such as 3.\n"
                f"List them: python3 mlops_manager.py models {name}{self.option}"
            )
        if self.to:
            return self._copy(name, int(version))
        if self.as_json:
            raise WrongUse("--json goes with --to.")
        previous = self.registry().promote(name, int(version))
        if previous and previous.version == int(version):
            console.err.print(f"Version {version} of {name} is the champion already.")
        else:
            instead = f", instead of version {previous.version}" if previous else ""
            console.out.print(f"Version {version} of {name} is the champion{instead}.")
        return DONE

    def _copy(self, name: str, version: int) -> int:
        project = common.project()
        source, target = (tracking.server(project, str(at or "")) for at in (self.stage, self.to))
        what = f"{name} {version}"
        with console.Progress() as progress:
            done = promote(
                *(project, name, version, source, target),
                lambda said: progress.notify(what, "running", said),
            )
        if self.as_json:
            console.print_json(asdict(done))
        else:
            _show(done)
        return DONE


class Rollback(InRegistry):
    """Make the previous champion of the model NAME the champion again"""

    def main(self, name: str) -> int:
        left, now = self.registry().roll_back(name)
        console.out.print(
            f"Version {now.version} of {name} is the champion again, instead of version "
            f"{left.version}."
        )
        return DONE


def _show(done: Promotion) -> None:
    there = f"version {done.target.version} of {done.name} in {done.target.stage}"
    if not done.created:
        console.err.print(f"It is {there} already.", markup=False)
    else:
        console.out.print(f"It is {there}: {done.target.registry}", markup=False, soft_wrap=True)
    if done.champion == done.target.version:
        console.err.print("It is the champion there.")
        return
    now = f"version {done.champion}" if done.champion else "no version"
    use = f"python3 mlops_manager.py promote {done.name} {done.target.version}"
    console.err.print(
        f"Now, {now} is the champion there. To use this one: {use} --in {done.target.stage}",
        markup=False,
        soft_wrap=True,
    )


def _row(version: Version) -> list[str]:
    moment = datetime.fromisoformat(version.registered).astimezone()
    # Short names are those of the whole: accuracy, not recall_vegetation.
    names = sorted(version.metrics, key=lambda name: (len(name), name))[:_METRICS]
    metrics = ", ".join(f"{name} {version.metrics[name]:.4g}" for name in names)
    aliases = ", ".join(version.aliases)
    return [version.name, str(version.version), aliases, f"{moment:%Y-%m-%d %H:%M}", metrics]
