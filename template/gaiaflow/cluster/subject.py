"""What is examined: a stage of a project, on a branch and in a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gaiaflow.cluster import manifest
from gaiaflow.cluster.api import Api, Refused, UnreachableError, connect
from gaiaflow.cluster.stage import Stage
from gaiaflow.cluster.waiting import waiting
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release.branches import Branches, Deployment
from gaiaflow.release.git import Git
from gaiaflow.release.worktrees import checked_out

Json = dict[str, Any]


@dataclass
class Subject:
    """A stage, as far as it can be seen. What can't be is None; one check reports it.

    Args:
        stage: what the files say: those on the stage's branch, or else those of the project.
        deployment: what the branch points to.
        git_trouble: why that is not known.
        api: the cluster.
        api_trouble: why that is not known.
        say: tells a person what is waited for.
        manifest_trouble: why the release can't make a task's pod.
    """

    stage: Stage
    deployment: Deployment | None
    git_trouble: str
    api: Api | None
    api_trouble: str
    say: Callable[[str], None] = field(default=lambda _: None)
    manifest_trouble: str = ""

    @cached_property
    def version(self) -> Json | UnreachableError | Refused | None:
        """What the API server says about itself, or why it says nothing."""
        if self.api is None:
            return None
        try:
            return self.api.get("/version")
        except (UnreachableError, Refused) as error:
            return error

    @property
    def answers(self) -> Api | None:
        """The cluster, if it answers."""
        return self.api if isinstance(self.version, dict) else None

    def inside(self, namespace: str) -> Api | None:
        """The cluster, if it answers and has a namespace."""
        return None if self.answers is None or namespace in self.missing else self.answers

    @cached_property
    def missing(self) -> set[str]:
        """Namespaces of the stage that the cluster certainly does not have."""
        missing = set()
        for name in {self.stage.tasks, self.stage.airflow}:
            with contextlib.suppress(Refused):  # not allowed to see it
                if self.answers and self.answers.find(f"/api/v1/namespaces/{name}") is None:
                    missing.add(name)
        return missing

    @cached_property
    def airflow_pods(self) -> list[Json]:
        """The pods of Airflow's own components."""
        if not (api := self.inside(self.stage.airflow)):
            return []
        path = f"/api/v1/namespaces/{self.stage.airflow}/pods"
        found = api.items(path, labelSelector="tier=airflow")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Airflow's environment variables in the cluster, or else those in its values.

        Only those whose values are in the pod's manifest: others may be secrets.
        """
        pod = self.component("scheduler")
        if pod is None:
            return self.stage.settings
        containers = pod["spec"]["containers"]
        [own] = [one for one in containers if one["name"] == "scheduler"] or containers[:1]
        return {one["name"]: one["value"] for one in own.get("env") or [] if "value" in one}

    @cached_property
    def manifest(self) -> Json | None:
        """A task's pod in this stage; None without a release, or if that can't make one."""
        if not self.deployment or not self.deployment.image:
            return None
        if not manifest.is_known(self.stage.folder):
            return None
        try:
            return manifest.build(self.stage.folder, self.stage.tasks, self.settings)
        except GaiaflowError as error:
            self.manifest_trouble = str(error)
            return None

    def component(self, name: str) -> Json | None:
        """A pod of a component of Airflow, if one is ready and can be seen."""
        with contextlib.suppress(Refused, UnreachableError):  # one check reports that
            for pod in self.airflow_pods:
                if component(pod) == name and is_ready(pod):
                    return pod
        return None


def component(pod: Json) -> str:
    """The component of Airflow that runs in a pod."""
    return str(pod["metadata"].get("labels", {}).get("component", ""))


def is_ready(pod: Json) -> bool:
    """Whether all of a pod's containers are ready."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@contextlib.contextmanager
def examine(root: Path, stage: str, say: Callable[[str], None]) -> Iterator[Subject]:
    """Read what can be read of a stage; its branch is checked out in the meantime.

    Args:
        root: the project.
        stage: "staging" or "prod".
        say: tells a person what is waited for.

    Raises:
        GaiaflowError: the project has nothing for a cluster.
    """
    with contextlib.ExitStack() as stack:
        folder, deployment, git_trouble = root, None, ""
        try:
            git = Git(root)
            with waiting(say, "git"):
                deployment = Branches(git).deployed(f"deploy/{stage}")
            if deployment:
                there = stack.enter_context(checked_out(root, git, deployment.commit))
                # A release from before deploy/ came has nothing to examine.
                folder = there if (there / "deploy").is_dir() else root
        except GaiaflowError as error:
            git_trouble = str(error)
        api, api_trouble = None, ""
        try:
            with waiting(say, "the log-in of the cluster"):
                api = connect()
        except GaiaflowError as error:
            api_trouble = str(error)
        yield Subject(Stage(stage, folder), deployment, git_trouble, api, api_trouble, say)
