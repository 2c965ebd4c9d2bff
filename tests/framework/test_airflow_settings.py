"""The settings that we give to Airflow exist in this release of it: it ignores all others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from airflow.configuration import retrieve_configuration_description

from .conftest import TEMPLATE

NAME = re.compile(r"\bAIRFLOW__([A-Z_]+?)__([A-Z_]+)\b")
FILES = ["gaiaflow/services/airflow.env", "docker-compose.yml"]
VALUES = sorted((TEMPLATE / "deploy" / "airflow").glob("values*.yaml"))
KNOWN = {
    (section, option)
    for section, described in retrieve_configuration_description(include_providers=True).items()
    for option in described["options"]
}


@pytest.mark.parametrize("file", FILES)
def test_variables(file: str) -> None:
    text = (TEMPLATE / file).read_text(encoding="utf-8")
    given = {(section.lower(), option.lower()) for section, option in NAME.findall(text)}
    assert given
    assert given <= KNOWN


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.name)
def test_values_of_the_chart(path: Path) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8")).get("config", {})
    assert {(section, option) for section, options in config.items() for option in options} <= KNOWN
