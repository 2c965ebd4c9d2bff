"""Scenes as jobs: each is a run of the project's batch DAG, and its product is a STAC item.

The names in answers are those of OGC API - Processes (`jobID`, `status`, ...).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from botocore.exceptions import BotoCoreError

from gaiaflow.serving.errors import Refused
from gaiaflow.serving.runs import Runs
from gaiaflow.serving.store import Store

MAX_BYTES = 2**20  # of a request

_STATES = {
    "queued": "accepted",
    "running": "running",
    "success": "successful",
    "failed": "failed",
}
_EXPECTED = 'Send a STAC item, or {"href": "s3://BUCKET/KEY.tif"}.'
_RASTERS = (".tif", ".tiff", ".jp2")  # as gaiaflow.stac.search

Json = dict[str, Any]


class Scenes:
    """Jobs that map scenes. All methods wait for Airflow and the store.

    Args:
        runs: of the batch DAG; None if Airflow isn't configured.
        store: the project's bucket.
        bucket: its name.
        model: the registered model whose champion maps scenes.
        sources: what may be read beside the bucket: addresses such as "https://example.com/cogs/".
    """

    def __init__(
        self, runs: Runs | None, store: Store, bucket: str, model: str, sources: Sequence[str] = ()
    ) -> None:
        self._runs = runs
        self._store = store
        self._bucket = bucket
        self._model = model
        self._sources = [urlsplit(source) for source in (f"s3://{bucket}/", *sources)]

    def start(self, body: bytes, identifier: str) -> Json:
        """Start the job with this id, or return it if it is there.

        Raises:
            Refused: the scene is none or may not be read, the id is another scene's, or Airflow
                or the store doesn't answer.
        """
        content = _json(body)
        is_item = content.get("type") == "Feature"
        item = self._item(content) if is_item else None
        address = "" if is_item else self._raster(content)
        runs = self._configured()
        if item is not None:
            data = json.dumps(item, sort_keys=True).encode()
            key = f"serving/scenes/{hashlib.sha256(data).hexdigest()[:32]}.json"
            self._put(key, data)
            address = f"s3://{self._bucket}/{key}"
        run = runs.start(_run_id(identifier), {"catalog": address, "model": self._model})
        if (run.get("conf") or {}).get("catalog") != address:
            raise Refused(409, f"X-Request-Id {identifier} is already in use for another scene.")
        return _status(run, identifier)

    def state(self, identifier: str) -> Json:
        """What has become of a job; of a successful one, the items of its products.

        Raises:
            Refused: there is no such job, or Airflow or the store doesn't answer.
        """
        runs = self._configured()
        run = runs.find(_run_id(identifier))
        if run is None:
            raise Refused(404, f"There is no job {identifier}.")
        status = _status(run, identifier)
        if run["state"] == "failed":
            status["message"] = runs.reason(run["dag_run_id"])
        if run["state"] == "success":
            keys = dict.fromkeys(
                key for result in runs.results(run["dag_run_id"]) for key in _items_of(result)
            )
            status["items"] = [self._product(key) for key in keys]
            if not keys:
                status["message"] = f"No task of {runs.dag} returned `item` or `items`: S3 keys."
        return status

    def _configured(self) -> Runs:
        if self._runs is None:
            raise Refused(
                503,
                "This server can't map scenes: AIRFLOW_URL, AIRFLOW_USER, AIRFLOW_PASSWORD or "
                "SERVING_SCENES_DAG is not set.",
            )
        return self._runs

    # --- what is posted --------------------------------------------------------------------------

    def _raster(self, content: Json) -> str:
        address = content.get("href")
        if not isinstance(address, str):
            raise Refused(400, f"This is not a scene. {_EXPECTED}")
        if why := self._forbidden(address):
            raise Refused(400, why)
        if not urlsplit(address).path.lower().endswith(_RASTERS):
            raise Refused(400, f"{address} is none of {', '.join(_RASTERS)}. {_EXPECTED}")
        return address

    def _item(self, content: Json) -> Json:
        """The item with those of its assets that may be read, and without links."""
        if why := _not_an_item(content):
            raise Refused(400, f"This is not a STAC item: {why}.")
        refusals = {
            name: self._forbidden(asset["href"]) for name, asset in content["assets"].items()
        }
        readable = {name: asset for name, asset in content["assets"].items() if not refusals[name]}
        if not readable:
            name, why = next(iter(refusals.items()))
            raise Refused(400, f"None of its assets may be read. {name}: {why}")
        return {**content, "assets": readable, "links": []}

    def _forbidden(self, address: str) -> str:
        """Why an address may not be read; empty if it may.

        The key must not open this machine's files, or servers that only it can reach.
        """
        try:
            parts = urlsplit(address)
        except ValueError:
            return f"{address} is not an address."
        if ".." in unquote(parts.path).split("/"):
            return f"{address} has `..` in its path."
        for source in self._sources:
            same = (parts.scheme, parts.netloc) == (source.scheme, source.netloc)
            if same and parts.path.startswith(source.path or "/"):
                return ""
        return (
            f"{address} is neither in s3://{self._bucket}/ nor in what SERVING_SCENES_FROM in .env "
            "names."
        )

    def _put(self, key: str, data: bytes) -> None:
        with _reached():
            self._store.put(key, data)

    # --- what is returned ------------------------------------------------------------------------

    def _product(self, key: str) -> Json:
        """The item of a product, with absolute addresses."""
        base = f"s3://{self._bucket}/"
        key = key.removeprefix(base)
        with _reached():
            data = self._store.get(key)
        if data is None:
            return {"id": key.rpartition("/")[2].removesuffix(".json"), "removed": True}
        item: Json = json.loads(data)
        for asset in item.get("assets", {}).values():
            asset["href"] = _absolute(base + key, asset["href"])
        for link in item.get("links", []):
            link["href"] = _absolute(base + key, link["href"])
        links = [link for link in item.get("links", []) if link.get("rel") != "self"]
        return {**item, "links": [{"rel": "self", "href": base + key}, *links]}


def configured(store: Store, model: str, environment: Mapping[str, str]) -> Scenes:
    """Scenes as the settings say."""
    names = ("AIRFLOW_URL", "AIRFLOW_USER", "AIRFLOW_PASSWORD", "SERVING_SCENES_DAG")
    url, user, password, dag = (environment.get(name, "") for name in names)
    runs = Runs(url, user, password, dag) if url and user and password and dag else None
    given = environment.get("SERVING_SCENES_FROM", "").split(",")
    sources = [source.strip() for source in given if source.strip()]
    return Scenes(runs, store, environment["S3_BUCKET"], model, sources)


def _run_id(identifier: str) -> str:
    return f"serving.{identifier}"


def _status(run: Mapping[str, Any], identifier: str) -> Json:
    times = {"created": "queued_at", "started": "start_date", "finished": "end_date"}
    known = {name: run[key] for name, key in times.items() if run.get(key)}
    return {"jobID": identifier, "status": _STATES.get(run["state"], run["state"]), **known}


def _json(body: bytes) -> Json:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Refused(400, f"The request is not a JSON object. {_EXPECTED}")
    return content


def _not_an_item(content: Json) -> str:
    """What keeps this from being a STAC item; empty if nothing does."""
    if not isinstance(content.get("stac_version"), str):
        return "it has no `stac_version`"
    if not (isinstance(content.get("id"), str) and content["id"]):
        return "it has no `id`"
    if not isinstance(content.get("geometry", ""), dict | None):
        return "it has no `geometry`"
    properties, assets = content.get("properties"), content.get("assets")
    if not isinstance(properties, dict) or "datetime" not in properties:
        return "its `properties` have no `datetime`"
    if not (isinstance(assets, dict) and assets):
        return "it has no `assets`"
    for name, asset in assets.items():
        if not (isinstance(asset, dict) and isinstance(asset.get("href"), str)):
            return f"its asset {name} has no `href`"
    return ""


def _items_of(result: Any) -> Iterator[str]:
    """The S3 keys of items in what a task has returned."""
    if isinstance(result, dict):
        listed = result.get("items")
        keys = [result.get("item"), *(listed if isinstance(listed, list) else ())]
        yield from (key for key in keys if isinstance(key, str))


def _absolute(base: str, address: str) -> str:
    if urlsplit(address).scheme:
        return address
    # Of other schemes than its own, urljoin doesn't know that they have folders.
    return "s3" + urljoin(base.replace("s3", "http", 1), address).removeprefix("http")


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    """Say so if the store doesn't answer."""
    try:
        yield
    except (OSError, BotoCoreError) as error:
        raise Refused(503, f"The object store failed: {error}", {"retry-after": "10"}) from None
