"""Looks a thing up in MLflow, in the store and in Airflow."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gaiaflow.airflow_client import Airflow
from gaiaflow.lineage.items import find_item, is_item, item_id, item_in, read_item, resolved
from gaiaflow.lineage.models import challengers, choose, named_model, split_model
from gaiaflow.lineage.things import (
    Answer,
    Code,
    DagRun,
    Lineage,
    Model,
    Product,
    Promotion,
    Training,
    Uses,
)
from gaiaflow.mlflow_client import Registry, Run, Version
from gaiaflow.objects import Bucket
from gaiaflow.project import request_files, tracking
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project
from gaiaflow.project.request_files import RequestFile
from gaiaflow.project.tracking import FILES, PROMOTED
from gaiaflow.project.variables import STAGES

PRODUCTS = "products/"  # where collections of STAC items are

_AT_ONCE = 8  # objects that are read
_BATCH = 64

# Called with what is being read.
Say = Callable[[str], None]


class Finder:
    """Finds the lineage of things in a project's MLflow, store and Airflow.

    Args:
        say: is told what is being read.
        stage: look in the MLflow of a stage, which has models only.
    """

    def __init__(self, project: Project, say: Say, stage: str = "") -> None:
        self._project, self._stage = project, stage
        self._registry = Registry(tracking.server(project, stage))
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
        if self._stage:
            raise GaiaflowError(
                f"There is no model {thing!r} in {self._registry.server.name}.\n"
                f"List models: python3 mlops_manager.py models --in {self._stage}"
            )
        if thing.endswith(".json") and (file := Path(thing)).is_file():
            return self._of_product(str(file), read_item(file))
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
        if self._stage:
            return Lineage("model", model=self._model(version))
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

    def _model(self, version: Version, registry: Registry | None = None) -> Model:
        """A version in this registry, or another one."""
        registry = registry or self._registry
        self._say(f"{version.name} {version.version} in {registry.server.name}")
        run = registry.run(version.run_id)
        promoted = self._promotion(version, registry)
        is_here = promoted is None and not registry.server.stage
        return Model(
            f"models:/{version.name}/{version.version}",
            version.name,
            version.version,
            version.aliases,
            version.registered,
            self._training(run, is_here) if run else None,
            promoted,
        )

    def _promotion(self, version: Version, registry: Registry) -> Promotion | None:
        tags = version.tags
        model, run_id = (tags.get(f"{PROMOTED}{name}") for name in ("model", "run_id"))
        if not model or not run_id:
            return None
        origin, missing = self._origin(model, run_id, registry)
        return Promotion(
            tags.get(f"{PROMOTED}registry", ""),
            model,
            run_id,
            tags.get(f"{PROMOTED}commit"),
            tags.get(f"{PROMOTED}by"),
            tags.get(f"{PROMOTED}at"),
            tags.get(FILES),
            origin,
            missing,
        )

    def _origin(self, uri: str, run_id: str, registry: Registry) -> tuple[Model | None, str | None]:
        """The version that another one is a copy of, or why it can't be read.

        Its registry may have had another address from where it was copied. So any that is known
        here will do if it has the version with that run: runs have random ids.
        """
        name, number = split_model(uri)
        troubles = []
        for stage in ("", *STAGES):
            if stage == registry.server.stage:
                continue
            try:
                other = Registry(tracking.server(self._project, stage))
                self._say(f"{uri} in {other.server.name}")
                versions = other.history(name) if other.tags(name) is not None else []
                for version in versions:
                    if str(version.version) == number and version.run_id == run_id:
                        return self._model(version, other), None
                troubles.append(f"{other.server.name} does not have it")
            except GaiaflowError as error:
                troubles.append(str(error).partition("\n")[0].rstrip("."))
        return None, "; ".join(troubles)

    def _training(self, run: Run, is_here: bool) -> Training:
        """What is known of a run; if it was not in this project's Airflow, by its tags only."""
        tags = run.tags
        names = [tags.get(f"airflow.{name}") for name in ("dag_id", "run_id", "task_id")]
        dag_id, dag_run_id, task_id = names
        elsewhere = (
            DagRun(dag_id, dag_run_id, task_id, None, None) if dag_id and dag_run_id else None
        )
        return Training(
            run.run_id,
            run.name,
            run.url,
            self._dag_run(*names) if is_here else elsewhere,
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
            if content and (item := item_in(content)) is not None
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


def answers_by_day(files: Iterable[RequestFile], version: str) -> dict[str, int]:
    """The number of requests that a version has answered, by day."""
    found: dict[str, int] = {}
    for file in sorted(files, key=lambda file: file.written):
        if file.version == version:
            found[file.day] = found.get(file.day, 0) + (file.requests or 0)
    return found


def _unknown(thing: str, known: Sequence[str]) -> GaiaflowError:
    near = difflib.get_close_matches(thing, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return GaiaflowError(
        f"There is no model, product or logged request {thing!r}.{hint}\n"
        "List models: python3 mlops_manager.py models\n"
        f"List products: python3 mlops_manager.py ls {PRODUCTS}"
    )
