"""Bring a version of a model from one registry to another, such as from staging to production.

The copy has no alias, so nobody's predictions change until somebody makes it the champion there.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import Any

from gaiaflow.mlflow_client import Registry, Run, Version
from gaiaflow.project import clients, inherited, programs
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.project.tracking import PROMOTED, Server

PROJECT = "gaiaflow.project"  # the tag of registered models that says whose they are

_FAREWELL = 60  # seconds in which an interrupted copy removes what it has written
_SHOWN = 15  # lines of what went wrong

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """A version in a registry; the stage is empty for the project's own."""

    stage: str
    registry: str
    version: int


@dataclass(frozen=True)
class Promotion:
    """A version and its copy.

    created: whether the copy is new; else, the version was promoted before.
    champion: the version that is the champion in the target, if there is one.
    """

    name: str
    source: Place
    target: Place
    created: bool
    champion: int | None


def promote(
    project: Project, name: str, version: int, source: Server, target: Server, say: Say
) -> Promotion:
    """Copy a version to another registry, unless it is there already.

    Args:
        say: is told what is being done.

    Raises:
        GaiaflowError: there is no such version, its files are missing, a server doesn't answer or
            refuses, both are the same, or the target has another project's model of that name.
    """
    here, there = Registry(source), Registry(target)
    wanted = here.version(name, version)
    model_tags = there.tags(name)
    known = there.history(name) if model_tags is not None else []
    if source.url == target.url or any(_is_same(wanted, found) for found in known):
        raise GaiaflowError(
            f"{_capital(source.name)} and {target.name} are the same: {target.url}\n"
            f"To use the version there: "
            f"python3 mlops_manager.py promote {name} {version}{there.option}"
        )
    run = _run_of(here, wanted)
    identity = {f"{PROMOTED}run_id": run.run_id, f"{PROMOTED}model": f"models:/{name}/{version}"}
    copied = next((found for found in known if identity.items() <= found.tags.items()), None)
    if copied:
        number, created = copied.version, False
    else:
        _check_owner(project, here, there, name, run, known, model_tags or {})
        order = {
            "source": dict(source.env),
            "source_name": source.name,
            "target": dict(target.env),
            "target_name": target.name,
            "name": name,
            "version": version,
            "identity": identity,
            "tags": _tags(project, here, run),
            "model_tags": {PROJECT: project.identity.package},
        }
        number, created = _copy(project, order, say)
    champion = next((found.version for found in there.history(name) if found.is_champion), None)
    places = Place(source.stage, source.url, version), Place(target.stage, target.url, number)
    return Promotion(name, *places, created, champion)


def _is_same(wanted: Version, found: Version) -> bool:
    """Whether it is the same version, seen at another address. Runs have random ids."""
    return found.run_id == wanted.run_id and found.version == wanted.version


def _run_of(registry: Registry, version: Version) -> Run:
    run = registry.run(version.run_id)
    if run is None:
        raise GaiaflowError(
            f"The run that {version.name} {version.version} comes from is unknown or was deleted, "
            "so nobody could trace the copy back.\nTrain the model again, and promote that one."
        )
    return run


def _tags(project: Project, here: Registry, run: Run) -> dict[str, str]:
    """What the copy says about where it comes from, besides its identity."""
    known = {
        "registry": here.url,
        "commit": run.tags.get("mlflow.source.git.commit", ""),
        "by": project.env["MLFLOW_TRACKING_USERNAME"],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {f"{PROMOTED}{name}": value for name, value in known.items() if value}


def _check_owner(
    project: Project,
    here: Registry,
    there: Registry,
    name: str,
    run: Run,
    known: list[Version],
    tags: Mapping[str, str],
) -> None:
    """Check that the target's model of that name is this project's.

    Promotion tags the models that it creates. Of others, the experiment of the newest version
    tells: the tasks of a project log to the one that is called like its package.
    """
    package = project.identity.package
    owner = tags.get(PROJECT)
    if owner is None and known:
        newest = there.run(known[0].run_id)
        experiment = there.experiment(newest.experiment_id) if newest else package
        same = {package, here.experiment(run.experiment_id)}
        owner = package if experiment in same else experiment
    if owner not in {None, package}:
        raise GaiaflowError(
            f"{_capital(there.server.name)} has a model {name!r} of another project, {owner!r}.\n"
            "Register yours with another name. If it is the same project after all, set the tag "
            f"{PROJECT}={package} of that model in MLflow: {there.url}"
        )


def _copy(project: Project, order: Mapping[str, Any], say: Say) -> tuple[int, bool]:
    """Let the project's environment copy; the number of the copy, and whether it is new."""
    if not project.environment.python.exists():
        raise GaiaflowError(
            "The project's environment, which has MLflow, is missing here.\n"
            "Create it: python3 mlops_manager.py deps"
        )
    say("starting MLflow")
    with TemporaryFile("w+") as log, _copying(project, log) as process:
        with suppress(BrokenPipeError):  # it has ended; its log says why
            process.stdin.write(json.dumps(order).encode())  # secrets, so not as arguments
            process.stdin.close()
        said: dict[str, Any] = {}
        for line in process.stdout:
            said = json.loads(line)
            if "say" in said:
                say(said["say"])
        process.wait()
        if "version" in said:
            return int(said["version"]), bool(said["created"])
        log.seek(0)
        tail = "\n".join(log.read().splitlines()[-_SHOWN:])
    raise GaiaflowError(said.get("error") or f"The version was not copied.\n{tail}")


@contextmanager
def _copying(project: Project, log: Any) -> Iterator[Any]:
    """The program that copies. If this process is interrupted, it removes what it has written."""
    environ = {
        **programs.clean_env(),
        **clients.MLFLOW_CLIENT,
        **clients.no_proxy(),
        **inherited.PYTHON,
        **inherited.without_socks(os.environ),
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # with the default, it would try for minutes
    }
    process = subprocess.Popen(
        [project.environment.python, "-m", "gaiaflow.promotion"],
        cwd=project.root,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,  # else Ctrl-C in a terminal would reach it twice
    )
    try:
        yield process
    except BaseException:
        process.terminate()
        try:
            process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
