"""deploy/ names things of Airflow and of the framework: they exist."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

from gaiaflow.operators.pod_troubles import ROLE
from gaiaflow.project import released, variables

DEPLOY = Path(__file__).parents[2] / "template" / "deploy"
FILES = ("values.yaml", "values-staging.yaml", "values-prod.yaml")


def read(file: str) -> Any:
    return yaml.safe_load((DEPLOY / "airflow" / file).read_text(encoding="utf-8"))


def test_the_launcher_may_do_what_the_operators_need_and_no_more() -> None:
    text = (DEPLOY / "tasks" / "launcher.yaml").read_text(encoding="utf-8")
    role, binding = yaml.safe_load_all(text)
    assert all(rule["apiGroups"] == [""] for rule in role["rules"])
    rules = [(name, tuple(rule["verbs"])) for rule in role["rules"] for name in rule["resources"]]
    assert rules == list(ROLE.items())
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


@pytest.mark.parametrize("file", FILES)
def test_airflow_knows_every_setting(file: str) -> None:
    known = conf.configuration_description
    for section, options in read(file).get("config", {}).items():
        assert set(options) <= set(known[section]["options"])


def test_the_host_is_found() -> None:
    module, _, name = read("values.yaml")["config"]["core"]["hostname_callable"].rpartition(".")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("file", FILES)
def test_the_framework_knows_every_variable(file: str) -> None:
    values = read(file)
    given = [*values.get("env", []), *yaml.safe_load(values.get("extraEnv", "[]"))]
    ours = {each["name"] for each in given if each["name"].startswith("GAIAFLOW_")}
    assert ours <= {value for value in vars(variables).values() if isinstance(value, str)}


def test_kustomize_reads_what_a_release_writes() -> None:
    text = (DEPLOY / "release" / "kustomization.yaml").read_text(encoding="utf-8")
    [generator] = yaml.safe_load(text)["configMapGenerator"]
    [name] = generator["files"]
    assert Path("deploy", "release", name) == released.IMAGE_FILE
