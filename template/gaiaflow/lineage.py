"""What a model, a product or a served answer was made from, and what was made with a model.

MLflow's runs have the tags that operators and the runner set; products are STAC items below
`products/` in the bucket; serving's log names the version that has answered.
"""

from __future__ import annotations

import difflib
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gaiaflow.airflow_client import Airflow
from gaiaflow.mlflow_client import SINCE, Dataset, Registry, Run, Version
from gaiaflow.objects import Bucket
from gaiaflow.project import request_files
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.project.request_files import RequestFile

PRODUCTS = "products/"  # where collections of STAC items are

_AT_ONCE = 8  # objects that are read
_BATCH = 64
_BOOLS = {"true": True, "false": False}

# Called with what is being read.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Code:
    """Which code has run. None: not known, such as for what was made before 0.7.1.

    dirty: whether files of the project differed from the commit.
    image, image_id: the name and the id or digest of the image; None for a process, too.
    """

    commit: str | None = None
    dirty: bool | None = None
    gaiaflow: str | None = None
    function: str | None = None
    image: str | None = None
    image_id: str | None = None

    @classmethod
    def of_run(cls, tags: Mapping[str, str]) -> Code:
        """The code of a run in MLflow, by its tags."""
        return cls(
            tags.get("mlflow.source.git.commit"),
            _BOOLS.get(tags.get("mlflow.source.git.dirty", "")),
            tags.get("gaiaflow.version"),
            tags.get("mlflow.source.name"),
            tags.get("mlflow.docker.image.uri"),
            tags.get("mlflow.docker.image.id"),
        )

    @classmethod
    def of_item(cls, properties: Mapping[str, Any]) -> Code:
        """The code that made a product, by its STAC item."""
        software = properties.get("processing:software") or {}
        return cls(
            software.get("commit"), properties.get("gaiaflow:dirty"), software.get("gaiaflow")
        )


@dataclass(frozen=True)
class DagRun:
    """A DAG run. The state is None if Airflow doesn't answer, or no longer has the run."""

    dag_id: str
    run_id: str
    task_id: str | None
    url: str
    state: str | None


@dataclass(frozen=True)
class Training:
    """The MLflow run that a version comes from."""

    run_id: str
    name: str
    url: str
    dag_run: DagRun | None
    code: Code
    data: tuple[Dataset, ...]
    parameters: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Model:
    """A version of a registered model. `training` is None if its run was deleted."""

    uri: str
    name: str
    version: int
    aliases: tuple[str, ...]
    registered: str  # ISO 8601, UTC
    training: Training | None


@dataclass(frozen=True)
class Product:
    """A product, by its STAC item.

    key: of the item in the bucket, or the path of a file.
    model: the URI of the model that made it.
    derived_from: other items, by their addresses or keys.
    """

    id: str
    key: str
    created: str | None
    model: str | None
    dag_run: DagRun | None
    code: Code
    derived_from: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """A served answer: the file of the log that has it, and when that was written."""

    request_id: str
    written: str  # ISO 8601, UTC
    key: str
    model: str | None


@dataclass(frozen=True)
class Uses:
    """What was made with a version.

    products: the ids of STAC items.
    answers: the number of logged requests by day (UTC).
    unnamed_files: files of the log, written before 0.7.1, whose names don't say the version.
    challengers: versions that were registered while it was the champion.
    """

    products: tuple[str, ...] = ()
    answers: dict[str, int] = field(default_factory=dict)
    unnamed_files: int = 0
    challengers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lineage:
    """The lineage of one thing: a product or an answer, its model, and a model's uses."""

    kind: str  # model, product or answer
    product: Product | None = None
    answer: Answer | None = None
    model: Model | None = None
    uses: Uses | None = None

    def as_json(self) -> dict[str, Any]:
        """Values for JSON output."""
        return asdict(self)


class Finder:
    """Finds the lineage of things in a project's MLflow, store and Airflow.

    Args:
        say: is told what is being read.
    """

    def __init__(self, project: Project, say: Say) -> None:
        self._registry = Registry(project)
        self._bucket = Bucket(project)
        self._airflow = Airflow(project)
        self._say = say

    def find(self, thing: str) -> Lineage:
        """Find the lineage of a model, a product or a served answer.

        Args:
            thing: a model such as "landcover", "landcover/3", "landcover@champion" or
                "models:/landcover/3"; a product: the id of its STAC item, a key or address in the
                store of the item or of a file of it, or an item that lies here as a file; or the
                id of a request.

        Raises:
            GaiaflowError: there is no such thing, or MLflow or the store does not answer.
        """
        names = self._registry.names()
        if (model := named_model(thing, names)) or thing.startswith("models:/"):
            return self._of_model(*(model or split_model(thing)))
        if thing.endswith(".json") and (file := Path(thing)).is_file():
            return self._of_product(str(file), _read_item(file))
        items = self._items()
        key = self._bucket.key(thing)
        if found := find_item(key, items):
            return self._of_product(found, items[found])
        if thing and "/" not in thing and (answer := self._answer(thing)):
            return self._of_answer(thing, answer)
        raise _unknown(thing, [*names, *map(item_id, items), *items])

    # --- models ------------------------------------------------------------------------------

    def _of_model(self, name: str, wanted: str) -> Lineage:
        versions = self._registry.history(name)
        version = choose(versions, name, wanted)
        uri = f"models:/{name}/{version.version}"
        products = [
            item_id(key)
            for key, item in self._items().items()
            if item["properties"].get("gaiaflow:model") == uri
        ]
        files = self._request_files(request_files.prefix(name))
        uses = Uses(
            tuple(sorted(products)),
            answers_by_day(files, str(version.version)),
            sum(file.version is None for file in files),
            challengers(versions, version),
        )
        return Lineage("model", model=self._model(version), uses=uses)

    def _model(self, version: Version) -> Model:
        self._say(f"{version.name} {version.version} in MLflow")
        run = self._registry.run(version.run_id)
        return Model(
            f"models:/{version.name}/{version.version}",
            version.name,
            version.version,
            version.aliases,
            version.registered,
            self._training(run) if run else None,
        )

    def _training(self, run: Run) -> Training:
        tags = run.tags
        return Training(
            run.run_id,
            run.name,
            run.url,
            self._dag_run(
                tags.get("airflow.dag_id"), tags.get("airflow.run_id"), tags.get("airflow.task_id")
            ),
            Code.of_run(tags),
            run.datasets,
            run.params,
            run.metrics,
        )

    def _made_by(self, uri: str | None) -> Model | None:
        """The version with this URI; None if it isn't known, or was deleted."""
        if uri is None:
            return None
        name, wanted = split_model(uri)
        if name not in self._registry.names():
            return None
        versions = self._registry.history(name)
        found = [version for version in versions if str(version.version) == wanted]
        return self._model(found[0]) if found else None

    def _dag_run(self, dag_id: Any, run_id: Any, task_id: Any = None) -> DagRun | None:
        if not dag_id or not run_id:
            return None
        self._say(f"{run_id} in Airflow")
        run = self._airflow.find_run(str(dag_id), str(run_id))
        return DagRun(run.dag_id, run.run_id, task_id, run.url, run.state or None)

    # --- products ----------------------------------------------------------------------------

    def _of_product(self, key: str, item: Mapping[str, Any]) -> Lineage:
        facts = item["properties"]
        product = Product(
            str(item["id"]),
            key,
            facts.get("created"),
            facts.get("gaiaflow:model"),
            self._dag_run(facts.get("gaiaflow:dag_id"), facts.get("gaiaflow:dag_run_id")),
            Code.of_item(facts),
            tuple(
                resolved(key, str(link["href"]))
                for link in item.get("links", [])
                if link.get("rel") == "derived_from"
            ),
        )
        return Lineage("product", product=product, model=self._made_by(product.model))

    def _items(self) -> dict[str, dict[str, Any]]:
        """All STAC items of products, by their keys."""
        self._say(f"items of {PRODUCTS}")
        keys = [each.key for each in self._bucket.objects(PRODUCTS) if is_item(each.key)]
        return {
            key: item
            for key, content in self._read(keys)
            if content and (item := _item_in(content)) is not None
        }

    # --- served answers ----------------------------------------------------------------------

    def _of_answer(self, request_id: str, file: RequestFile) -> Lineage:
        uri = f"models:/{file.model}/{file.version}" if file.version else None
        answer = Answer(request_id, file.written, file.key, uri)
        return Lineage("answer", answer=answer, model=self._made_by(uri))

    def _answer(self, request_id: str) -> RequestFile | None:
        """The newest file of the log that has a request."""
        files = self._request_files(request_files.FOLDER)
        files.sort(key=lambda file: file.written, reverse=True)
        known = {file.key: file for file in files}
        for key, content in self._read(list(known)):
            self._say(f"requests of {known[key].day}")
            if content and request_files.has_request(content, request_id):
                return known[key]
        return None

    def _request_files(self, prefix: str) -> list[RequestFile]:
        self._say("the log of requests")
        parsed = (request_files.parse(each.key) for each in self._bucket.objects(prefix))
        return [file for file in parsed if file]

    def _read(self, keys: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """The contents of small objects, in order, some at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for first in range(0, len(keys), _BATCH):
                batch = keys[first : first + _BATCH]
                yield from zip(batch, threads.map(self._bucket.read, batch), strict=True)


# --- names -----------------------------------------------------------------------------------


def split_model(text: str) -> tuple[str, str]:
    """The name of a model, and the version or "@alias" that is meant; empty if neither is named."""
    text = text.removeprefix("models:/")
    for sign in ("@", "/"):
        name, found, wanted = text.partition(sign)
        if found:
            return name, f"@{wanted}" if sign == "@" else wanted
    return text, ""


def named_model(thing: str, names: Iterable[str]) -> tuple[str, str] | None:
    """The same if a thing means one of these registered models."""
    name, wanted = split_model(thing)
    return (name, wanted) if name in names else None


def choose(versions: Sequence[Version], name: str, wanted: str) -> Version:
    """The version that is meant: by default, the champion, or else the newest.

    Args:
        versions: newest first.

    Raises:
        GaiaflowError: there is no such version.
    """
    if not versions:
        raise GaiaflowError(f"The model {name!r} has no version.")
    if not wanted:
        return next((version for version in versions if version.is_champion), versions[0])
    for version in versions:
        if wanted in {str(version.version), *(f"@{alias}" for alias in version.aliases)}:
            return version
    what = f"alias {wanted[1:]!r}" if wanted.startswith("@") else f"version {wanted}"
    known = [str(version.version) for version in versions]
    known += [f"@{alias}" for version in versions for alias in version.aliases]
    raise GaiaflowError(f"{name} has no {what}. It has: {', '.join(known)}.")


def challengers(versions: Iterable[Version], champion: Version) -> tuple[int, ...]:
    """The versions that were registered while a version was the champion, by `champion_since`."""
    versions = list(versions)
    reigns = sorted(
        (version.tags[SINCE], version.version) for version in versions if SINCE in version.tags
    )

    def champion_at(moment: str) -> int | None:
        before = [version for since, version in reigns if since <= moment]
        return before[-1] if before else None

    found = (
        version.version
        for version in versions
        if champion_at(version.registered) == champion.version
        and version.version != champion.version
    )
    return tuple(sorted(found))


def answers_by_day(files: Iterable[RequestFile], version: str) -> dict[str, int]:
    """The number of requests that a version has answered, by day."""
    found: dict[str, int] = {}
    for file in sorted(files, key=lambda file: file.written):
        if file.version == version:
            found[file.day] = found.get(file.day, 0) + (file.requests or 0)
    return found


# --- STAC items ------------------------------------------------------------------------------


def is_item(key: str) -> bool:
    """Whether an object in a collection is an item: `COLLECTION/items/NAME.json`."""
    folder, name = posixpath.split(key)
    return posixpath.basename(folder) == "items" and name.endswith(".json")


def item_id(key: str) -> str:
    """The id of an item in a collection, as its file is called."""
    return posixpath.basename(key).removesuffix(".json")


def find_item(thing: str, items: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The key of the item that is meant: by its key, its id, or the key of a file or its folder."""
    if thing in items:
        return thing
    for key, item in items.items():
        if thing in (item_id(key), item["id"]):
            return key
    wanted = thing.rstrip("/")
    for key, item in items.items():
        collection = posixpath.dirname(posixpath.dirname(key))
        if not wanted.startswith(f"{collection}/"):
            continue
        for asset in item["assets"].values():
            file = resolved(key, str(asset["href"]))
            if wanted in (file, posixpath.dirname(file)):
                return key
    return None


def resolved(key: str, href: str) -> str:
    """An address in an item; relative ones start at the item's key."""
    if "://" in href or href.startswith("/"):
        return href
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), href))


def _item_in(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    wanted = {"id", "properties", "assets"}
    return found if isinstance(found, dict) and wanted <= found.keys() else None


def _read_item(file: Path) -> dict[str, Any]:
    item = _item_in(file.read_bytes())
    if item is None:
        raise GaiaflowError(f"{file} is not a STAC item.")
    return item


def _unknown(thing: str, known: Sequence[str]) -> GaiaflowError:
    near = difflib.get_close_matches(thing, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return GaiaflowError(
        f"There is no model, product or logged request {thing!r}.{hint}\n"
        "List models: python3 mlops_manager.py models\n"
        f"List products: python3 mlops_manager.py ls {PRODUCTS}"
    )
