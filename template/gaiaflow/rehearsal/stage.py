"""Bring up a stage in the project's cluster, run a pipeline there, and remove it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from gaiaflow.airflow_client import Airflow, DagRun, overview
from gaiaflow.backends import Notify
from gaiaflow.backends.compose import ComposeBackend
from gaiaflow.cluster.stage import Stage
from gaiaflow.minikube import kubeconfig, program
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.rehearsal import airflow, images, science, secrets, servers
from gaiaflow.rehearsal.programs import Json, Kubectl, find
from gaiaflow.rehearsal.watching import wait_until_ready
from gaiaflow.release.branches import Branches
from gaiaflow.release.git import Git
from gaiaflow.release.worktrees import checked_out

STAGE = "staging"

_DAG_LIMIT = 300.0  # seconds until Airflow knows a DAG
_POLL = 2.0
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Rehearsal:
    """A stage of a project in its Minikube.

    Args:
        project: its present commit is used.
        notify: is told about progress.

    Raises:
        GaiaflowError: the project has nothing for a cluster, or a program is not installed.
    """

    def __init__(self, project: Project, notify: Notify) -> None:
        self._project = project
        self._notify = notify
        self.stage = Stage(STAGE, project.root)
        self._config = project.root / "kube_config_inline"
        self._kubectl = Kubectl(self._config)
        find("helm")
        self._git = Git(project.root)

    def bring_up(self, chart: str | None) -> None:
        """Bring up everything; if it is there already, bring it to the present commit.

        Args:
            chart: a folder or an archive with Airflow's chart; default: the official one.

        Raises:
            GaiaflowError: something can't be built or does not start; the message says why.
        """
        program.start(self._project, self._notify)
        own = program.own_kube_config(self._project)
        kubeconfig.write(own, program.profile(self._project), self._config)
        base = self._git.commit("HEAD")
        with checked_out(self._project.root, self._git, base) as folder:
            stage = Stage(STAGE, folder)
            built = images.build(self._project, folder, base[:12], self._notify)
            self._start_servers(folder, built)
            commit = Branches(self._git).rehearse(base, built.package)
            servers.push(self._kubectl, self._git, commit, stage.branch)
            self._start(stage, built, chart)

    def _start_servers(self, folder: Path, built: images.Images) -> None:
        self._notify("servers", "starting", "Postgres, object store, git")
        compose = ComposeBackend(self._project, self._notify)
        postgres, store = compose.definition("postgres"), compose.definition("object-store")
        env = self._project.env
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "S3_BUCKET")
        bucket = {**{name: env[name] for name in names}, "AWS_ENDPOINT_URL": servers.STORE}
        scripts = folder / "dockerfiles" / "postgres"
        objects = servers.objects(postgres, store, scripts, built.airflow, built.mlflow, bucket)
        self._again("jobs", "bucket", servers.NAMESPACE)
        self._kubectl.apply(objects)
        wait_until_ready(self._kubectl, servers.NAMESPACE, self._notify, "servers")

    def _start(self, stage: Stage, built: images.Images, chart: str | None) -> None:
        self._notify("mlflow", "starting", "")
        self._kubectl.apply(_namespace(name) for name in (stage.airflow, stage.tasks))
        self._kubectl.apply(secrets.objects(self._project, stage))
        (stage.folder / "deploy" / "release" / "image").write_text(f"{built.package}\n", "utf-8")
        science.install(self._kubectl, stage, self._project, built.mlflow)
        self._notify("airflow", "starting", "")
        self._again("jobs", "airflow-run-airflow-migrations", stage.airflow)
        airflow.install(self._kubectl, stage, self._project, built.airflow, chart)
        wait_until_ready(self._kubectl, stage.tasks, self._notify, "mlflow")
        wait_until_ready(self._kubectl, stage.airflow, self._notify, "airflow")
        airflow.create_user(self._kubectl, stage, self._project)

    def _again(self, kind: str, name: str, namespace: str) -> None:
        """Delete what can't be changed."""
        options = ("--namespace", namespace, "--ignore-not-found")
        self._kubectl("delete", kind, name, *options)

    @contextlib.contextmanager
    def airflow(self) -> Iterator[Airflow]:
        """Airflow in the cluster, as long as its port is forwarded."""
        place = (self.stage.airflow, airflow.API_SERVER, airflow.PORT)
        with self._kubectl.forward(*place) as port:
            yield Airflow(self._project.replaced({"AIRFLOW_PORT": str(port)}))

    def run(self, client: Airflow, dag_id: str) -> DagRun:
        """Run a pipeline to its end.

        Raises:
            GaiaflowError: there is no such DAG, or Airflow does not answer.
        """
        triggered = run = client.trigger(self._find(client, dag_id), {})
        for run in client.follow(triggered):
            for name, state, detail in overview(run.tasks):
                self._notify(name, state, detail)
        return run

    def _find(self, client: Airflow, dag_id: str) -> Json:
        deadline = time.monotonic() + _DAG_LIMIT
        while True:
            try:
                return client.find_dag(
                    dag_id, lambda what: self._notify(dag_id, "waiting", "for its bundle")
                )
            except GaiaflowError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)

    def serve(self) -> None:
        """Serve predictions of the champion, and wait until that is ready.

        Raises:
            GaiaflowError: it isn't; the message says why.
        """
        self._notify("serving", "starting", "")
        target = ("deployment/serving", "--namespace", self.stage.tasks)
        self._kubectl("scale", *target, "--replicas=1")
        wait_until_ready(self._kubectl, self.stage.tasks, self._notify, "serving")

    def remove(self) -> None:
        """Remove everything, images included; the cluster stays.

        Raises:
            GaiaflowError: the cluster does not answer.
        """
        self._notify("rehearsal", "stopping", "")
        names = (self.stage.airflow, self.stage.tasks, servers.NAMESPACE)
        self._kubectl("delete", "namespace", *names, "--ignore-not-found")
        images.remove(self._project)
        self._notify("rehearsal", "stopped", "removed")


def _namespace(name: str) -> Json:
    metadata = {"name": name, "labels": _RESTRICTED}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
