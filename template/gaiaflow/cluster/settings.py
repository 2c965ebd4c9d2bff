"""Check the settings with which Airflow runs: whether they are those of its values."""

from __future__ import annotations

from gaiaflow.cluster.stage import CHART
from gaiaflow.cluster.subject import Json, Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project import variables


def airflow_settings(subject: Subject) -> Finding | None:
    """Check what tells Airflow where tasks run, and with which servers."""
    stage, has, pod = subject.stage, subject.settings, subject.component("scheduler")
    if not pod:
        return None
    said = stage.settings
    upgrade = (
        f"# Argo CD and Flux do this by themselves; by hand, on {stage.branch}:\n"
        f"helm upgrade airflow {' '.join(CHART)} --namespace {stage.airflow} "
        f"--values deploy/airflow/values.yaml --values deploy/airflow/values-{stage.name}.yaml"
    )
    needed = {variables.MODE: "prod", variables.NAMESPACE: stage.tasks}
    for name, value in needed.items():
        if has.get(name) != value:
            found = f"Airflow has {name}={has[name]}" if name in has else f"Airflow lacks {name}"
            place = "values.yaml" if name == variables.MODE else f"values-{stage.name}.yaml"
            fix = f"# In deploy/airflow/{place}: {{name: {name}, value: {value}}}\n{upgrade}"
            return Finding("airflow-settings", PROBLEM, f"{found}, but needs {value}", fix)
    different = [name for name in said if has.get(name) != said[name]]
    if stage.airflow_image and stage.airflow_image != _image(pod):
        different.append("images.airflow")
    if different:
        what = f"Airflow runs with other values than {stage.branch} has: {', '.join(different)}"
        return Finding("airflow-settings", WARNING, what, upgrade)
    return Finding("airflow-settings", OK, f"those of {stage.branch}; tasks run in {stage.tasks}")


def _image(pod: Json) -> str:
    """The image of Airflow's scheduler."""
    containers = {one["name"]: str(one["image"]) for one in pod["spec"]["containers"]}
    return containers.get("scheduler", "")
