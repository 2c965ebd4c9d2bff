"""The registered models in an MLflow, and which version is the champion.

Uses its REST API (https://mlflow.org/docs/latest/rest-api.html): MLflow's own client is not in the
managers' environment, and takes more than a second to import.
"""

from __future__ import annotations

import difflib
import json
import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from gaiaflow.project import inherited
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.tracking import CHAMPION_SINCE, Server

CHAMPION = "champion"  # the alias of the version that is served and makes maps

_MODELS = ("registered-models/search", "registered_models")
_PAGE = 200  # entries; MLflow allows more
_START_IT = "Start it: python3 mlops_manager.py start --service mlflow"


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    version: int
    registered: str  # ISO 8601, UTC
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]
    run_id: str

    @property
    def is_champion(self) -> bool:
        return CHAMPION in self.aliases

    def as_json(self) -> dict[str, Any]:
        """Values for JSON output."""
        return {**asdict(self), "aliases": list(self.aliases)}


@dataclass(frozen=True)
class Dataset:
    """Data that a run has read, as `mlflow.log_input` describes them."""

    name: str
    digest: str
    source: str  # an address if it has one
    context: str  # such as "training"


@dataclass(frozen=True)
class Run:
    """A run in MLflow, such as the one that trained a version."""

    run_id: str
    name: str
    url: str
    experiment_id: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    datasets: tuple[Dataset, ...]


class Registry:
    """A client of a model registry: this project's own, or that of a stage.

    Raises:
        GaiaflowError: the certificate in its settings can't be read.
    """

    def __init__(self, server: Server) -> None:
        self.server, self.url = server, server.url
        bearer = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        try:
            certificate = server.certificate
            verify = ssl.create_default_context(cafile=certificate) if certificate else True
        except OSError as error:
            raise GaiaflowError(f"The certificate {certificate} can't be read: {error}") from None
        self._client = httpx.Client(
            base_url=server.url,
            auth=server.login,
            headers={} if server.login else bearer,
            timeout=httpx.Timeout(30, connect=10),
            verify=verify,
            # Proxies; those of SOCKS need a package that isn't there.
            trust_env=not server.is_local and not inherited.without_socks(os.environ),
        )

    @property
    def option(self) -> str:
        """The option of commands that chooses this registry, with a space in front."""
        return f" --in {self.server.stage}" if self.server.stage else ""

    def versions(self, name: str = "") -> list[Version]:
        """The versions of a model, or of all models, with metrics; those of a model newest first.

        Raises:
            GaiaflowError: there is no such model, or MLflow does not answer.
        """
        found = self.history(name)
        return [replace(version, metrics=self._metrics(version.run_id)) for version in found]

    def names(self) -> list[str]:
        """The names of all registered models."""
        return [str(model["name"]) for model in self._all(*_MODELS)]

    def history(self, name: str = "") -> list[Version]:
        """The same as `versions`, without metrics, which take a request for each version."""
        models = self._all(*_MODELS)
        names = [str(model["name"]) for model in models]
        if name and name not in names:
            near = difflib.get_close_matches(name, names, n=2, cutoff=0.4)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise GaiaflowError(
                f"There is no model {name!r}{self._there}.{hint}\n"
                f"List all: python3 mlops_manager.py models{self.option}"
            )
        return [
            version
            for model in models
            if name in {"", model["name"]}
            for version in self._versions_of(model)
        ]

    def version(self, name: str, version: int) -> Version:
        """One version, without metrics.

        Raises:
            GaiaflowError: there is no such version, or MLflow does not answer.
        """
        return self._find(self.history(name), name, version)

    def tags(self, name: str) -> dict[str, str] | None:
        """The tags of a registered model; None if there is no such model."""
        answer = self._ask("GET", "registered-models/get", params={"name": name}, missing_ok=True)
        return _pairs(answer["registered_model"].get("tags", [])) if answer else None

    def experiment(self, experiment_id: str) -> str:
        """The name of an experiment."""
        answer = self._ask("GET", "experiments/get", params={"experiment_id": experiment_id})
        return str(answer["experiment"]["name"])

    def promote(self, name: str, version: int) -> Version | None:
        """Make a version the champion, and return the previous one.

        Raises:
            GaiaflowError: there is no such version, or MLflow does not answer.
        """
        versions = self.history(name)
        self._find(versions, name, version)
        previous = next((found for found in versions if found.is_champion), None)
        if previous is None or previous.version != version:
            self._make_champion(name, version)
            self._tag(
                name, version, CHAMPION_SINCE, datetime.now(UTC).isoformat(timespec="seconds")
            )
            if previous and CHAMPION_SINCE not in previous.tags:  # promoted by an older release
                self._tag(name, previous.version, CHAMPION_SINCE, previous.registered)
        return previous

    def roll_back(self, name: str) -> tuple[Version, Version]:
        """Make the version that was the champion before the current one the champion again.

        The current one loses its mark, so that a later rollback doesn't return to it.

        Returns:
            The version that was the champion, and the one that is now.

        Raises:
            GaiaflowError: there is none to return to, or MLflow does not answer.
        """
        versions = self.history(name)
        current = next((found for found in versions if found.is_champion), None)
        if current is None:
            raise GaiaflowError(
                f"{name} has no champion.\n"
                f"Choose one: python3 mlops_manager.py promote {name} VERSION{self.option}"
            )
        before = [found for found in versions if CHAMPION_SINCE in found.tags and found != current]
        if until := current.tags.get(CHAMPION_SINCE):
            before = [found for found in before if found.tags[CHAMPION_SINCE] <= until]
        if not before:
            raise GaiaflowError(
                f"No version of {name} is known to have been the champion before {current.version}."
                f"\nChoose one: python3 mlops_manager.py promote {name} VERSION{self.option}"
            )
        previous = max(before, key=lambda found: (found.tags[CHAMPION_SINCE], found.version))
        self._make_champion(name, previous.version)
        if CHAMPION_SINCE in current.tags:
            gone = {"name": name, "version": str(current.version), "key": CHAMPION_SINCE}
            self._ask("DELETE", "model-versions/delete-tag", json=gone)
        return current, previous

    def _make_champion(self, name: str, version: int) -> None:
        order = {"name": name, "alias": CHAMPION, "version": str(version)}
        self._ask("POST", "registered-models/alias", json=order)

    def _tag(self, name: str, version: int, key: str, value: str) -> None:
        order = {"name": name, "version": str(version), "key": key, "value": value}
        self._ask("POST", "model-versions/set-tag", json=order)

    def _versions_of(self, model: dict[str, Any]) -> list[Version]:
        name = str(model["name"])
        quoted = name.replace("'", "''")
        found = self._all("model-versions/search", "model_versions", filter=f"name = '{quoted}'")
        aliases: dict[str, list[str]] = {}
        for entry in model.get("aliases", []):
            aliases.setdefault(str(entry["version"]), []).append(str(entry["alias"]))
        versions = [
            Version(
                name,
                int(entry["version"]),
                _moment(int(entry["creation_timestamp"])),
                tuple(sorted(aliases.get(str(entry["version"]), []))),
                _pairs(entry.get("tags", [])),
                {},
                str(entry.get("run_id") or ""),
            )
            for entry in found
        ]
        return sorted(versions, key=lambda version: -version.version)

    def run(self, run_id: str) -> Run | None:
        """The run with this id; None if it was deleted.

        Raises:
            GaiaflowError: MLflow does not answer.
        """
        if not run_id:
            return None
        answer = self._ask("GET", "runs/get", params={"run_id": run_id}, missing_ok=True)
        if not answer:
            return None
        info, data = answer["run"]["info"], answer["run"].get("data", {})
        inputs = answer["run"].get("inputs", {}).get("dataset_inputs", [])
        return Run(
            run_id,
            str(info.get("run_name", "")),
            f"{self.url}/#/experiments/{info['experiment_id']}/runs/{run_id}",
            str(info["experiment_id"]),
            _pairs(data.get("tags", [])),
            _pairs(data.get("params", [])),
            {str(metric["key"]): float(metric["value"]) for metric in data.get("metrics", [])},
            tuple(_dataset(entry) for entry in inputs),
        )

    def _metrics(self, run_id: str) -> dict[str, float]:
        """The metrics of the run that trained a version; none if it was deleted."""
        run = self.run(run_id)
        return run.metrics if run else {}

    def _all(self, path: str, key: str, **params: str) -> list[dict[str, Any]]:
        """All entries of a list that comes in pages."""
        entries: list[dict[str, Any]] = []
        token = ""
        while True:
            query = {**params, "max_results": str(_PAGE), "page_token": token}
            page = self._ask("GET", path, params=query)
            entries += page.get(key, [])
            token = str(page.get("next_page_token") or "")
            if not token:
                return entries

    @property
    def _there(self) -> str:
        return f" in {self.server.name}" if self.server.stage else ""

    def _find(self, versions: Sequence[Version], name: str, version: int) -> Version:
        for found in versions:
            if found.version == version:
                return found
        known = ", ".join(str(found.version) for found in versions) or "none"
        raise GaiaflowError(f"{name} has no version {version}{self._there}. It has: {known}.")

    def _ask(self, method: str, path: str, missing_ok: bool = False, **content: Any) -> Any:
        try:
            answer = self._client.request(method, f"/api/2.0/mlflow/{path}", **content)
        except httpx.HTTPError as error:
            raise GaiaflowError(self._no_answer(error)) from error
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise GaiaflowError(self._rejected())
        if not answer.is_success:
            name = self.server.name if self.server.stage else "MLflow"
            what = f"{answer.status_code} {answer.text[:500]}".strip()
            raise GaiaflowError(f"{name[0].upper()}{name[1:]} failed: {what}")
        try:
            return answer.json()
        except ValueError:
            raise GaiaflowError(f"What answers at {self.url} is not MLflow.") from None

    def _no_answer(self, error: httpx.HTTPError) -> str:
        if not self.server.stage:
            return f"MLflow does not answer at {self.url}.\n{_START_IT}"
        setting = f"{self.server.stage.upper()}_MLFLOW_TRACKING_URI"
        return (
            f"The MLflow of {self.server.stage} does not answer at {self.url}: {error}\n"
            f"Check {setting} in .env and the way there, such as a `kubectl port-forward`."
        )

    def _rejected(self) -> str:
        if not self.server.stage:
            return (
                "MLflow rejects the password in .env: did it change while MLflow was running?\n"
                "Restart it: python3 mlops_manager.py restart"
            )
        setting = f"{self.server.stage.upper()}_MLFLOW_TRACKING"
        return (
            f"The MLflow of {self.server.stage} rejects the log-in.\n"
            f"Check {setting}_USERNAME and {setting}_PASSWORD (or {setting}_TOKEN) in .env."
        )


def _pairs(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {str(entry["key"]): str(entry["value"]) for entry in entries}


def _dataset(entry: dict[str, Any]) -> Dataset:
    dataset = entry["dataset"]
    source = str(dataset.get("source", ""))
    with suppress(ValueError):  # JSON, by the kind of source: {"uri": ...} or {"url": ...}
        known = json.loads(source)
        source = next((str(known[name]) for name in ("uri", "url") if name in known), source)
    return Dataset(
        str(dataset["name"]),
        str(dataset["digest"]),
        source,
        _pairs(entry.get("tags", [])).get("mlflow.data.context", ""),
    )


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
