"""A message, and the pages of Airflow that messages link to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from airflow.configuration import conf


@dataclass(frozen=True)
class Message:
    """What people are told. `failure` changes its color and icon, where a service has them."""

    title: str
    body: str
    failure: bool = False


def run_page(dag_id: str, run_id: str) -> str:
    """The address of a DAG run's page."""
    server = conf.get("api", "base_url", fallback="").rstrip("/")
    return f"{server}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
