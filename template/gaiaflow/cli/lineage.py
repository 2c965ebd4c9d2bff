"""`lineage` of `mlops_manager.py`: where a thing comes from, and what was made with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from plumbum import cli
from rich.text import Text
from rich.tree import Tree

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE
from gaiaflow.cli.models import InRegistry
from gaiaflow.lineage.finding import Finder
from gaiaflow.lineage.things import (
    Code,
    DagRun,
    Lineage,
    Model,
    Product,
    Promotion,
    Training,
    Uses,
)

_PATIENCE = 2.0  # seconds until progress is shown
_METRICS = 4
_PRODUCTS = 20
_UNKNOWN = "unknown"


class Lineages(InRegistry):
    """Show what THING was made from and what was made with it: a model, a product, a request id"""

    as_json = cli.Flag("--json", help="print {kind, product, answer, model, uses}")

    def main(self, thing: str) -> int:
        with console.Progress() as progress:
            later = _Later(progress, thing)
            found = Finder(common.project(), later, str(self.stage)).find(thing)
        if self.as_json:
            console.print_json(found.as_json())
        else:
            console.out.print(tree(found), soft_wrap=True)
        return DONE


class _Later:
    """Shows what is being read, if it takes long."""

    def __init__(self, progress: console.Progress, thing: str) -> None:
        self._progress, self._thing = progress, thing
        self._started = time.monotonic()

    def __call__(self, what: str) -> None:
        if time.monotonic() - self._started > _PATIENCE:
            self._progress.notify(self._thing, "running", what)


def tree(lineage: Lineage) -> Tree:
    """The lineage as people read it: below each thing, what it was made from."""
    if lineage.answer:
        answer = lineage.answer
        top = _tree(f"request {answer.request_id}, logged {_local(answer.written)}")
        _line(top, "log", answer.key)
        _add_model(top, lineage.model, answer.model)
    elif lineage.product:
        top = _tree(f"product {lineage.product.id}, made {_local(lineage.product.created)}")
        _add_product(top, lineage.product)
        _add_model(top, lineage.model, lineage.product.model)
    else:
        model: Any = lineage.model
        top = _tree(_title(model))
        _add_origins(top, model)
    if lineage.uses:
        _add_uses(top, lineage.uses)
    return top


def _add_product(top: Tree, product: Product) -> None:
    _line(top, "item", product.key)
    for address in product.derived_from:
        _line(top, "derived from", address)
    _add_dag_run(top, product.dag_run)
    _add_code(top, product.code, in_mlflow=False)


def _add_model(top: Tree, model: Model | None, uri: str | None) -> None:
    if model is None:
        _line(top, "model", f"{uri}, no longer registered" if uri else _UNKNOWN)
    else:
        _add_origins(_line(top, "model", _title(model)), model)


def _add_origins(top: Tree, model: Model) -> None:
    """What a version was made from; of a copy, what the original was made from."""
    if promoted := model.promoted:
        _add_promotion(top, promoted)
    if promoted and promoted.origin and model.training:
        _line(top, "MLflow run", f"{model.training.name}, a copy  {model.training.url}")
    else:
        _add_training(top, model.training)


def _add_promotion(top: Tree, promoted: Promotion) -> None:
    by = f" by {promoted.by}" if promoted.by else ""
    when = f"{_local(promoted.at)}{by}"
    if origin := promoted.origin:
        line = _line(top, "promoted from", f"{_title(origin)}, in {promoted.registry}, {when}")
        _add_origins(line, origin)
    else:
        line = _line(top, "promoted from", f"{promoted.model} in {promoted.registry}, {when}")
        _line(line, "not read", f"{promoted.missing}. What follows was copied with it")


def _add_training(top: Tree, training: Training | None) -> None:
    if training is None:
        _line(top, "MLflow run", f"{_UNKNOWN}: it was deleted")
        return
    run = _line(top, "MLflow run", f"{training.name}  {training.url}")
    _add_dag_run(run, training.dag_run)
    _add_code(run, training.code, in_mlflow=True)
    for data in training.data:
        context = f", for {data.context}" if data.context else ""
        _line(run, "data", f"{data.name}, digest {data.digest}{context}: {data.source}")
    if not training.data:
        _line(run, "data", _UNKNOWN)
    _line(run, "parameters", _values(training.parameters))
    # Short names are those of the whole: accuracy, not recall_vegetation.
    names = sorted(training.metrics, key=lambda name: (len(name), name))[:_METRICS]
    _line(run, "metrics", _values({name: f"{training.metrics[name]:.4g}" for name in names}))


def _add_dag_run(top: Tree, run: DagRun | None) -> None:
    if run is None:
        _line(top, "DAG run", _UNKNOWN)
        return
    state = f" ({run.state})" if run.state else ""
    where = run.url or "in the Airflow of where it was trained"
    _line(top, "DAG run", f"{run.dag_id}, {run.run_id}{state}  {where}")


def _add_code(top: Tree, code: Code, *, in_mlflow: bool) -> None:
    changes = {True: ", with uncommitted changes", False: "", None: ", perhaps with changes"}
    commit = f"{code.commit}{changes[code.dirty]}" if code.commit else _UNKNOWN
    _line(top, "commit", commit)
    _line(top, "Gaiaflow", code.gaiaflow or f"{_UNKNOWN}: made before 0.7.1, or outside of a task")
    if not in_mlflow:
        return  # items don't name the others
    _line(top, "function", code.function or _UNKNOWN)
    if code.image:
        _line(top, "image", " ".join(filter(None, [code.image, code.image_id])))
    elif code.gaiaflow:
        _line(top, "image", "none: a process in the project's environment")
    else:
        _line(top, "image", _UNKNOWN)


def _add_uses(top: Tree, uses: Uses) -> None:
    used = top.add(Text("used for", "bold"))
    shown = ", ".join(uses.products[:_PRODUCTS])
    more = f" and {len(uses.products) - _PRODUCTS} more" if len(uses.products) > _PRODUCTS else ""
    products = f"{len(uses.products)}: {shown}{more}" if uses.products else "none"
    _line(used, "products", products)
    total = sum(uses.answers.values())
    days = list(uses.answers)
    span = "" if not days else f", {days[0]}" if len(days) == 1 else f", {days[0]} to {days[-1]}"
    _line(used, "answers", f"{total} logged requests{span}" if total else "none logged")
    if uses.unnamed_files:
        before = f"{uses.unnamed_files} files of the log, written before 0.7.1, don't say by name"
        _line(used, "unknown", f"{before} which version has answered")
    if uses.challengers:
        versions = ", ".join(map(str, uses.challengers))
        _line(used, "challengers", f"versions {versions} were registered while it was champion")


def _title(model: Model) -> str:
    aliases = f" ({', '.join(model.aliases)})" if model.aliases else ""
    return f"{model.uri}{aliases}, registered {_local(model.registered)}"


def _tree(title: str) -> Tree:
    return Tree(Text(title, "bold"), guide_style="dim")


def _line(top: Tree, name: str, value: str) -> Tree:
    return top.add(Text.assemble((f"{name}  ", "dim"), value))


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {values[name]}" for name in sorted(values)) or "none"


def _local(moment: str | None) -> str:
    if not moment:
        return _UNKNOWN
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
