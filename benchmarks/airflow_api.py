"""The little of Airflow's REST API (v2) that benchmarks ask."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine


class AirflowApi:
    """A client of a project's Airflow, logged in with the password in its `.env`."""

    def __init__(self, project: Path) -> None:
        lines = (project / ".env").read_text(encoding="utf-8").splitlines()
        env = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        self.url = f"http://127.0.0.1:{env['AIRFLOW_PORT']}"
        login = {"username": env["AIRFLOW_USER"], "password": env["AIRFLOW_PASSWORD"]}
        self._headers = {"Content-Type": "application/json"}
        token = self._ask("/auth/token", json.dumps(login).encode())["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path below /api/v2."""
        return self._ask(f"/api/v2{path}")

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make something; the JSON that tells of it."""
        return self._ask(f"/api/v2{path}", json.dumps(body).encode())

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change something; the JSON that tells of it."""
        return self._ask(f"/api/v2{path}", json.dumps(body).encode(), "PATCH")

    def _ask(
        self, path: str, body: bytes | None = None, method: str | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path, data=body, headers=self._headers, method=method
        )
        with _opener.open(request, timeout=30) as answer:
            return dict(json.loads(answer.read()))
