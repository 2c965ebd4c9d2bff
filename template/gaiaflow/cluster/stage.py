"""What a project's files say about a stage: its namespaces, and what must be there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gaiaflow.project.errors import GaiaflowError

Json = dict[str, Any]

# The official chart of Airflow, in the release for which deploy/airflow has values.
CHART = ("airflow", "--repo", "https://airflow.apache.org", "--version", "1.22.0")

_SUBJECT = re.compile(r"/subjects/(\d+)/(\w+)")


@dataclass(frozen=True)
class Stage:
    """A stage of a project.

    Args:
        name: "staging" or "prod".
        folder: the project's files, as they are on the stage's branch.

    Raises:
        GaiaflowError: it has no folder deploy/, or a file there cannot be read.
    """

    name: str
    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / "deploy" / "tasks" / "launcher.yaml").is_file():
            raise GaiaflowError(
                "This project has no folder deploy/ for a team's cluster.\n"
                "Get it: copier update --trust -d deploy=kubernetes"
            )
        try:
            _ = (self.tasks, self.airflow, self.role, self.settings)
        except (LookupError, StopIteration, TypeError, AttributeError, ValueError):
            raise GaiaflowError(
                "deploy/ has files that Kubernetes would not accept.\n"
                f"See: kubectl kustomize deploy/project-{self.name}"
            ) from None

    @property
    def branch(self) -> str:
        """The branch that Airflow tracks."""
        return f"deploy/{self.name}"

    @cached_property
    def tasks(self) -> str:
        """The namespace of tasks, MLflow and predictions."""
        return str(self._overlay.get("namespace", "default"))

    @cached_property
    def launchers(self) -> Sequence[tuple[str, str]]:
        """The accounts with which Airflow makes pods: each one's namespace and name."""
        subjects = [dict(one) for one in self.binding["subjects"]]
        for change in self._changes("RoleBinding", str(self.binding["metadata"]["name"])):
            found = _SUBJECT.fullmatch(str(change.get("path")))
            if found and change.get("op") in {"replace", "add"} and int(found[1]) < len(subjects):
                subjects[int(found[1])][found[2]] = change["value"]
        return [(str(one["namespace"]), str(one["name"])) for one in subjects]

    @property
    def airflow(self) -> str:
        """The namespace of Airflow."""
        return self.launchers[0][0]

    @cached_property
    def role(self) -> Json:
        """All that Airflow may do in the namespace of tasks."""
        return self._launcher("Role")

    @cached_property
    def binding(self) -> Json:
        """Who has that role; without the stage's own changes."""
        return self._launcher("RoleBinding")

    @cached_property
    def values(self) -> Json:
        """The values for Airflow's chart, as Helm merges them."""
        folder = Path("deploy", "airflow")
        common, own = folder / "values.yaml", folder / f"values-{self.name}.yaml"
        return _merged(self._read(common), self._read(own))

    def entries(self, name: str) -> list[Json]:
        """A list in the values, which may be written as text: `extraEnv`, `extraEnvFrom`."""
        value = self.values.get(name) or []
        return list(yaml.safe_load(value) or [] if isinstance(value, str) else value)

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Environment variables, without secrets, that Airflow gets from its values."""
        entries = [*self.entries("env"), *self.entries("extraEnv")]
        return {str(one["name"]): str(one["value"]) for one in entries if "value" in one}

    @property
    def airflow_image(self) -> str:
        """Airflow's image in its values, by digest; empty if they name none."""
        known = self.values.get("images", {}).get("airflow", {})
        repository, digest = known.get("repository"), known.get("digest")
        return f"{repository}@{digest}" if repository and digest else ""

    def _launcher(self, kind: str) -> Json:
        every = self._load(Path("deploy", "tasks", "launcher.yaml"))
        return next(dict(one) for one in every if one and one["kind"] == kind)

    @cached_property
    def _overlay(self) -> Json:
        return self._read(Path("deploy", f"project-{self.name}", "kustomization.yaml"))

    def _changes(self, kind: str, name: str) -> Iterator[Json]:
        """The changes that the overlay makes to an object, as JSON patches."""
        for patch in self._overlay.get("patches") or []:
            target = patch.get("target") or {}
            if (target.get("kind"), target.get("name", name)) == (kind, name):
                made = yaml.safe_load(patch.get("patch", ""))
                yield from made if isinstance(made, list) else []

    def _read(self, path: Path) -> Json:
        return dict(self._load(path)[0])

    def _load(self, path: Path) -> list[Any]:
        """The documents of a file."""
        try:
            return list(yaml.safe_load_all((self.folder / path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise GaiaflowError(f"{path} is missing: restore it from git.") from None
        except (yaml.YAMLError, ValueError) as error:
            raise GaiaflowError(f"{path} cannot be read: {error}") from None


def _merged(lower: Json, upper: Json) -> Json:
    both = {**lower, **upper}
    for name in lower.keys() & upper.keys():
        if isinstance(lower[name], dict) and isinstance(upper[name], dict):
            both[name] = _merged(lower[name], upper[name])
    return both
