"""What the values files say, without Helm: every name is one that the chart knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import chart
from tests.deploy.conftest import STAGES, TAKE_SECRETS, TEMPLATE

DEPLOY = TEMPLATE / "deploy"
FILES = ("values.yaml", *(f"values-{stage}.yaml" for stage in STAGES))
REHEARSAL = "../../gaiaflow/rehearsal/values.yaml"
RELEASE, *NAMES = chart.NAMES_FILE.read_text(encoding="utf-8").splitlines()
KNOWN = set(NAMES)


def read(file: str) -> Any:
    return yaml.safe_load((DEPLOY / "airflow" / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", [*FILES, REHEARSAL])
def test_the_chart_knows_every_name(file: str) -> None:
    assert [path for path in chart.paths(read(file)) if not chart.is_known(path, KNOWN)] == []


def test_a_typo_is_found() -> None:
    typos = {"scheduler": {"replica": 2}, "dagProcesor": {}, "ingress": {"apiServer": {"hots": []}}}
    assert not any(chart.is_known(path, KNOWN) for path in chart.paths(typos))


def test_the_names_are_those_of_the_chart(official: Path) -> None:
    assert chart.NAMES_FILE.read_text(encoding="utf-8") == chart.text(official)


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("airflow/values.yaml", r"--version (\S+)"),
        ("argocd.yaml", r"targetRevision: (\d\S+)"),
        ("flux.yaml", r"version: (\d\S+)"),
        ("../gaiaflow/cluster/stage.py", r'"--version", "(\S+)"'),
        ("../../.github/workflows/ci.yml", r"helm pull airflow .*--version (\S+)"),
    ],
)
def test_all_name_the_same_release(file: str, pattern: str) -> None:
    [release] = re.findall(pattern, (DEPLOY / file).read_text(encoding="utf-8"))
    assert f" {release}," in RELEASE


def test_airflow_is_the_one_of_the_lock() -> None:
    lock = (TEMPLATE / "gaiaflow" / "locks" / "airflow.txt").read_text(encoding="utf-8")
    assert f"\napache-airflow=={read('values.yaml')['airflowVersion']} " in lock


def test_stages_differ_only_in_their_names() -> None:
    staging, prod = (read(f"values-{stage}.yaml") for stage in STAGES)
    as_prod = yaml.safe_load(yaml.safe_dump(staging).replace("staging", "prod"))
    more = {"scheduler", "triggerer", "apiServer", "pgbouncer"}  # replicas
    assert as_prod == {name: value for name, value in prod.items() if name not in more}


def test_secrets_are_only_named() -> None:
    """No value stands where a name belongs."""
    for file in FILES:
        values = read(file)
        assert not set(chart.paths(values)) & {*TAKE_SECRETS, "extraSecrets", "registry.connection"}
        variables = [*values.get("env", []), *yaml.safe_load(values.get("extraEnv", "[]"))]
        given = [each["name"] for each in variables if "value" in each]
        assert not [name for name in given if re.search("PASS|SECRET|TOKEN|KEY|CONN", name)]
    for each in DEPLOY.rglob("*.env.jinja"):
        assert not re.search("PASS|SECRET|TOKEN|KEY", each.read_text(encoding="utf-8"))


def test_connections_are_documented() -> None:
    how_to = (TEMPLATE.parent / "docs" / "how-to" / "airflow-on-a-cluster.md").read_text("utf-8")
    texts = [(DEPLOY / "airflow" / file).read_text(encoding="utf-8") for file in FILES]
    used = {name for text in texts for name in re.findall(r"conn_id: (\w+)", text)}
    assert used == {"git_project", "logs"}
    assert all(f"`AIRFLOW_CONN_{name.upper()}`" in how_to for name in used)


def test_placeholders_are_marked() -> None:
    """A team finds all that it has to fill in by searching for `yours`."""
    for file in DEPLOY.rglob("*"):
        if file.is_dir():
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if "example.com" in line or "sha256:" in line:
                near = lines[max(0, number - 1)] + line
                assert "# yours" in near, f"{file.name}:{number + 1}: {line}"
