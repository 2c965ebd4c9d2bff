"""Read a version of a model in one MLflow, and register the same in another.

The version is created last, when all else is there and its files are known to be the same. So an
interrupted copy leaves no version; the next one removes what it has left.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import (
    Experiment,
    LoggedModel,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
)
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models.model import MLMODEL_FILE_NAME

from gaiaflow.project.tracking import CHAMPION_SINCE, FILES, PROMOTED

# What MLflow writes itself, about other runs or other places.
_OF_THE_PLACE = (
    *("mlflow.parentRunId", "mlflow.rootRunId", "mlflow.runName", "mlflow.log-model.history"),
    *("mlflow.modelVersions", "mlflow.loggedModels", "mlflow.artifactLocation"),
)
_NOTE = "mlflow.note.content"
_METRICS, _PARAMS = 1000, 100  # the most in one request
_LONG = 500  # characters of an error
_KEPT = {"active"}

Say = Callable[[str], None]
T = TypeVar("T")


class CantCopy(Exception):
    """The version can't be copied. The message says why."""


@dataclass(frozen=True)
class Order:
    """What to copy, from where to where.

    source, target: MLflow's variables with which its clients find a server and log in.
    source_name, target_name: what messages call them.
    identity: the tags by which the copy is found again: those that no other version has.
    tags: more tags that say where the copy comes from.
    model_tags: for the registered model, if it is new.
    """

    source: Mapping[str, str]
    source_name: str
    target: Mapping[str, str]
    target_name: str
    name: str
    version: int
    identity: Mapping[str, str]
    tags: Mapping[str, str]
    model_tags: Mapping[str, str]


@dataclass(frozen=True)
class Original:
    """A version, all that belongs to it, and its files: their paths and SHA-256 digests."""

    version: ModelVersion
    model: RegisteredModel
    run: Run
    experiment: Experiment
    logged: LoggedModel | None  # None: logged with MLflow 2
    metrics: Sequence[Metric]
    folder: Path
    files: Mapping[str, str]


def copy(order: Order, say: Say) -> tuple[int, bool]:
    """Copy a version.

    Returns:
        The number that it has in the target, and whether it is new there.

    Raises:
        CantCopy: a server refuses or doesn't answer, or files are missing or differ.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with _connected(order.source, order.source_name):
            original = read(order.name, order.version, Path(folder), say)
        with _connected(order.target, order.target_name):
            return write(original, order, Path(folder), say)


@contextmanager
def _connected(server: Mapping[str, str], name: str) -> Iterator[None]:
    """Use a server. MLflow reads the log-in from the environment, at each request."""
    os.environ.update(server)
    mlflow.set_tracking_uri(server["MLFLOW_TRACKING_URI"])
    mlflow.set_registry_uri(server["MLFLOW_TRACKING_URI"])
    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        raise CantCopy(f"{name[0].upper()}{name[1:]} failed: {str(error)[:_LONG]}") from error
    finally:
        for variable in server:
            del os.environ[variable]


# --- the source ----------------------------------------------------------------------------------


def read(name: str, version: int, folder: Path, say: Say) -> Original:
    """Read a version and download its files into a folder."""
    client = MlflowClient()
    found = client.get_model_version(name, str(version))
    address = client.get_model_version_download_uri(name, str(version))
    listed = dict(_listed(address))
    if MLMODEL_FILE_NAME not in listed:
        raise CantCopy(
            f"The files of {name} {version} are missing in the store: there is no "
            f"{MLMODEL_FILE_NAME} at {address}.\nRestore them, or choose another version."
        )
    say(f"reading {len(listed)} files, {_size(sum(listed.values()))}")
    root, files = _download(address, folder / "source")
    if files.keys() != listed.keys():
        lost = ", ".join(sorted(listed.keys() ^ files.keys()))
        raise CantCopy(f"Files of {name} {version} are missing in the store: {lost}.")
    run = client.get_run(str(found.run_id))
    history = [client.get_metric_history(run.info.run_id, key) for key in run.data.metrics]
    return Original(
        found,
        client.get_registered_model(name),
        run,
        client.get_experiment(run.info.experiment_id),
        _logged(client, found),
        [metric for some in history for metric in some],
        root,
        files,
    )


def _logged(client: MlflowClient, version: ModelVersion) -> LoggedModel | None:
    model_id = str(version.source).removeprefix("models:/")
    return client.get_logged_model(model_id) if model_id.startswith("m-") else None


def _listed(address: str, folder: str | None = None) -> Iterator[tuple[str, int]]:
    """Paths and sizes (bytes) of all files below an address."""
    place = f"{address}/{folder}" if folder else address
    for entry in mlflow.artifacts.list_artifacts(artifact_uri=place) or ():
        path = f"{folder}/{Path(entry.path).name}" if folder else Path(entry.path).name
        if entry.is_dir:
            yield from _listed(address, path)
        else:
            yield path, entry.file_size or 0


def _download(address: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Download all files below an address; where they are, their paths and SHA-256 digests."""
    root = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(root).as_posix()] = digest
    return root, found


# --- the target ----------------------------------------------------------------------------------


def write(original: Original, order: Order, folder: Path, say: Say) -> tuple[int, bool]:
    """Register the same in the server in use, unless it is there already."""
    client = MlflowClient()
    if found := _copy_in(client, order):
        return found, False
    experiment_id = _experiment(client, original.experiment)
    _remove_leftovers(client, experiment_id, order)
    tags = {**order.identity, **order.tags, FILES: _digest(original.files)}
    run = client.create_run(
        experiment_id,
        tags={**_kept(original.run.data.tags), _NOTE: _note(original, order), **tags},
        run_name=original.run.info.run_name,
    )
    run_id, model_id = run.info.run_id, None
    try:
        say(f"writing {len(original.files)} files")
        _log(client, run_id, original)
        logged = _create_logged(client, experiment_id, run_id, original, tags)
        model_id = logged.model_id
        client.log_model_artifacts(model_id, str(original.folder))
        say(f"checking {len(original.files)} files")
        _, files = _download(logged.artifact_location, folder / "target")
        if files != original.files:
            raise CantCopy(f"The files in {order.target_name} differ from those of the source.")
        _log_model_metrics(client, run_id, model_id, original)
        client.finalize_logged_model(model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        client.set_terminated(run_id)
        return _register(client, run_id, model_id, original, order, tags), True
    except BaseException:
        with suppress(MlflowException, requests.RequestException):
            if found := _copy_in(client, order):  # only the answer was lost
                return found, True
            _remove(client, run_id, model_id)
        raise


def _copy_in(client: MlflowClient, order: Order) -> int | None:
    """The version that is the copy."""
    quoted = order.name.replace("'", "''")
    for found in client.search_model_versions(f"name = '{quoted}'"):
        if order.identity.items() <= found.tags.items():
            return int(found.version)
    return None


def _experiment(client: MlflowClient, original: Experiment) -> str:
    """The experiment with the same name."""
    found = client.get_experiment_by_name(original.name)
    if found is None:
        return str(client.create_experiment(original.name, tags=_kept(original.tags)))
    if found.lifecycle_stage not in _KEPT:
        raise CantCopy(
            f"The experiment {original.name} was deleted there. Restore it: "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def _remove_leftovers(client: MlflowClient, experiment_id: str, order: Order) -> None:
    """Remove what interrupted copies of the same version have left."""
    key, value = next(iter(order.identity.items()))
    which = f"tags.`{key}` = '{value}'"
    for model in client.search_logged_models([experiment_id], filter_string=which):
        if order.identity.items() <= model.tags.items():
            client.delete_logged_model(model.model_id)
    for run in client.search_runs([experiment_id], which):
        if order.identity.items() <= run.data.tags.items():
            client.delete_run(run.info.run_id)


def _log(client: MlflowClient, run_id: str, original: Original) -> None:
    params = [Param(name, value) for name, value in original.run.data.params.items()]
    for some in _batches(params, _PARAMS):
        client.log_batch(run_id, params=some)
    for batch in _batches([_plain(metric) for metric in original.metrics], _METRICS):
        client.log_batch(run_id, metrics=batch)
    if original.run.inputs and original.run.inputs.dataset_inputs:
        client.log_inputs(run_id, original.run.inputs.dataset_inputs)


def _log_model_metrics(
    client: MlflowClient, run_id: str, model_id: str, original: Original
) -> None:
    """Log the metrics of the logged model, which MLflow shows beside those of its run."""
    of_model = (original.logged.metrics if original.logged else None) or []
    for batch in _batches([_plain(metric, model_id) for metric in of_model], _METRICS):
        client.log_batch(run_id, metrics=batch)


def _plain(metric: Metric, model_id: str | None = None) -> Metric:
    """The same metric, for another run and another model."""
    names = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    about = {"model_id": model_id, **names} if model_id else {}
    return Metric(metric.key, metric.value, metric.timestamp, metric.step, **about)


def _create_logged(
    client: MlflowClient,
    experiment_id: str,
    run_id: str,
    original: Original,
    tags: Mapping[str, str],
) -> LoggedModel:
    logged = original.logged
    return client.create_logged_model(
        experiment_id,
        name=logged.name if logged else "model",
        source_run_id=run_id,
        tags={**(_kept(logged.tags) if logged else {}), **tags},
        params=dict(logged.params) if logged else None,
        model_type=logged.model_type if logged else None,
    )


def _register(
    client: MlflowClient,
    run_id: str,
    model_id: str,
    original: Original,
    order: Order,
    tags: Mapping[str, str],
) -> int:
    try:
        client.get_registered_model(order.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        model = original.model
        about = {**_kept(model.tags), **order.model_tags}
        client.create_registered_model(order.name, about, model.description)
    if client.get_run(run_id).info.lifecycle_stage not in _KEPT:
        raise CantCopy("Someone else is promoting this version now. Try again later.")
    made = client.create_model_version(
        order.name,
        f"models:/{model_id}",
        run_id,
        tags={**_kept(original.version.tags), **tags},
        description=original.version.description,
        model_id=model_id,
    )
    return int(made.version)


def _remove(client: MlflowClient, run_id: str, model_id: str | None) -> None:
    if model_id:
        client.delete_logged_model(model_id)
    client.set_terminated(run_id, "KILLED")
    client.delete_run(run_id)


def _kept(tags: Mapping[str, Any]) -> dict[str, str]:
    """The tags that are as true for a copy."""
    return {
        name: str(value)
        for name, value in tags.items()
        if not name.startswith(PROMOTED) and name not in {CHAMPION_SINCE, *_OF_THE_PLACE}
    }


def _note(original: Original, order: Order) -> str:
    """The description of the run: that it is a copy."""
    where = order.tags[f"{PROMOTED}registry"]
    text = f"A copy of the run {original.run.info.run_id} in {where}, made to promote its model."
    before = original.run.data.tags.get(_NOTE)
    return f"{text}\n\n{before}" if before else text


def _digest(files: Mapping[str, str]) -> str:
    """A digest of all files: `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`."""
    text = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
