"""Airflow in a rehearsal: the official chart, with a few values changed."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from gaiaflow.cluster.stage import CHART, Stage
from gaiaflow.project.project import Project
from gaiaflow.rehearsal.programs import Kubectl, find, run
from gaiaflow.rehearsal.servers import STORE

API_SERVER = "deployment/airflow-api-server"
PORT = 8080

_VALUES = Path(__file__).with_name("values.yaml")


def install(
    kubectl: Kubectl, stage: Stage, project: Project, image: str, chart: str | None
) -> None:
    """Install the chart, or upgrade what is there. Does not wait for the pods.

    Args:
        kubectl: the cluster.
        stage: its folder has the values.
        project: whose DAGs run.
        image: of Airflow.
        chart: a folder or an archive with the chart; default: the official one.

    Raises:
        GaiaflowError: helm is not installed, or failed.
    """
    folder = stage.folder / "deploy" / "airflow"
    files = [folder / "values.yaml", folder / f"values-{stage.name}.yaml", _VALUES, "-"]
    arguments = ["--kubeconfig", kubectl.config, "--namespace", stage.airflow]
    arguments += [f"--values={file}" for file in files]
    source = (chart,) if chart else CHART
    command = find("helm")["upgrade", "--install", "airflow", source, arguments]
    run(command, stdin=json.dumps(values(stage, project, image)))


def values(stage: Stage, project: Project, image: str) -> dict[str, object]:
    """What values.yaml here lacks: image, bundle and servers."""
    repository, _, tag = image.rpartition(":")
    settings = {
        "GAIAFLOW_NAMESPACE": stage.tasks,
        "MLFLOW_TRACKING_URI": f"http://mlflow.{stage.tasks}.svc:5000",
        "AWS_ENDPOINT_URL": STORE,
        "S3_BUCKET": project.env["S3_BUCKET"],
    }
    bundle = {
        "name": project.identity.package,
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {
            "git_conn_id": "git_project",
            "tracking_ref": stage.branch,
            "refresh_interval": 10,
        },
    }
    logs = {"remote_base_log_folder": f"s3://{project.env['S3_BUCKET']}/airflow-logs"}
    return {
        "images": {"airflow": {"repository": repository, "tag": tag, "digest": None}},
        "dagProcessor": {"dagBundleConfigList": [bundle]},
        # The chart puts this text between lines of its own.
        "extraEnv": yaml.safe_dump([{"name": k, "value": v} for k, v in settings.items()]),
        "config": {"logging": logs},
    }


def create_user(kubectl: Kubectl, stage: Stage, project: Project) -> None:
    """Let the user of `.env` log in; an existing one stays as it is.

    Raises:
        GaiaflowError: Airflow's program failed.
    """
    name, password = project.env["AIRFLOW_USER"], project.env["AIRFLOW_PASSWORD"]
    person = ("--firstname=A", "--lastname=B", "--email=user@example.com", "--role=Admin")
    command = ("airflow", "users", "create", f"--username={name}", *person)
    # It asks for the password twice, which then appears in no list of processes.
    options = ("--namespace", stage.airflow, "--stdin", API_SERVER, "--")
    kubectl("exec", *options, *command, stdin=f"{password}\n{password}\n")
