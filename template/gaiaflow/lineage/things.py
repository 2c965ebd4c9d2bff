"""The things that lineage tells of, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from gaiaflow.mlflow_client import Dataset

_BOOLS = {"true": True, "false": False}


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
    """A DAG run. The state is None if Airflow doesn't answer, or no longer has the run.

    url: None if it ran in another Airflow, such as that of staging.
    """

    dag_id: str
    run_id: str
    task_id: str | None
    url: str | None
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
class Promotion:
    """What a version is a copy of.

    registry: the address of the MLflow that it comes from, as it was when it was copied.
    model: the URI of the version there.
    run_id: of the run there.
    by, at: who copied it and when (ISO 8601, UTC).
    files: the digest of its files.
    origin: the version itself; None if it can't be read now.
    missing: why.
    """

    registry: str
    model: str
    run_id: str
    commit: str | None
    by: str | None
    at: str | None
    files: str | None
    origin: Model | None
    missing: str | None


@dataclass(frozen=True)
class Model:
    """A version of a registered model. `training` is None if its run was deleted.

    promoted: what it is a copy of; then `training` is a copy, too.
    """

    uri: str
    name: str
    version: int
    aliases: tuple[str, ...]
    registered: str  # ISO 8601, UTC
    training: Training | None
    promoted: Promotion | None = None


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
