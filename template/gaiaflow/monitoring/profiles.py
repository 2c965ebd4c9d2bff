"""The reference profile of a model: what its data looked like when it was accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from gaiaflow.monitoring.measures import histogram, inner_edges
from gaiaflow.monitoring.relations import Relations

# Columns that are not inputs: what the model predicts, and how sure it is (0..1).
PREDICTION, CONFIDENCE = "prediction", "confidence"

BINS = 10
SAMPLE = 2_000  # rows
OTHER = "(other)"
_CATEGORIES = 50  # of a column; the rest count as one
_DIGITS = 7  # of numbers: those of float32


@dataclass(frozen=True)
class NumberColumn:
    """A numeric column of the reference.

    Attributes:
        missing: how many rows have no finite number.
        low, high: the smallest and the largest number.
        edges: quantiles between bins; the first and the last bin are open.
        counts: rows in each bin.
    """

    missing: int
    low: float
    high: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ClassColumn:
    """A column of texts of the reference: how many rows have each, and how many have none."""

    missing: int
    counts: dict[str, int]


@dataclass(frozen=True, eq=False)
class Profile:
    """The distribution of each column of a table, and a sample of its rows.

    Attributes:
        rows: of the table.
        columns: by name: inputs, and `PREDICTION` and `CONFIDENCE` if it has them.
        sample: at most 2000 rows, chosen at random; numeric columns only.
    """

    rows: int
    columns: dict[str, NumberColumn | ClassColumn]
    sample: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame, seed: int = 0) -> Profile:
        """Describe a table of inputs, which may have the columns `PREDICTION` and `CONFIDENCE`.

        Its rows should be a random sample of what the model is for. Pixels that lie side by side
        are alike: a thousand of them say as little as a few, and look different from any other
        thousand. `gaiaflow.rasters.PixelSample` spreads them over a scene.

        Raises:
            ValueError: the table has no rows, or a column has no values.
        """
        if table.empty:
            raise ValueError("a profile needs rows")
        columns: dict[str, NumberColumn | ClassColumn] = {}
        for name in table.columns:
            if is_numeric(table[name]):
                columns[str(name)] = _numbers(str(name), numbers_of(table[name]))
            else:
                columns[str(name)] = _classes(table[name])
        numeric = [name for name, column in columns.items() if isinstance(column, NumberColumn)]
        some = table[numeric].sample(min(len(table), SAMPLE), random_state=seed)
        numbers = some.apply(numbers_of).reset_index(drop=True)
        return cls(len(table), columns, numbers)

    @cached_property
    def relations(self) -> Relations | None:
        """How the numeric inputs go together; None if there are too few of them, or rows."""
        inputs = [name for name in self.sample if name not in (PREDICTION, CONFIDENCE)]
        return Relations.of(self.sample[inputs])

    def to_json(self) -> str:
        """The profile as JSON: about 100 kB for ten columns."""
        columns = {
            name: {"kind": _KINDS[type(column)], **asdict(column)}
            for name, column in self.columns.items()
        }
        sample = {
            str(name): [None if value != value else value for value in self.sample[name].tolist()]
            for name in self.sample
        }
        whole = {"version": 1, "rows": self.rows, "columns": columns, "sample": sample}
        return json.dumps(whole, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read what `to_json` has written.

        Raises:
            ValueError: it isn't a profile, or is one of a later release.
        """
        found = json.loads(text)
        if not isinstance(found, Mapping) or found.get("version") != 1:
            raise ValueError("not a profile, or one of a later release of Gaiaflow")
        columns = {name: _column(dict(column)) for name, column in found["columns"].items()}
        return cls(found["rows"], columns, pd.DataFrame(found["sample"], dtype=float))


def store_profile(profile: Profile, model: str, *, of: str = "") -> None:
    """Put a profile among the files of a model, with which it is registered and copied.

    A new one replaces it, for all versions with the same files.

    Args:
        model: the URI that logging has returned, or that of a registered model.
        of: what it describes, such as "served", if a model has several.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / _file(of)
        path.write_text(profile.to_json(), encoding="utf-8")
        mlflow.MlflowClient().log_model_artifact(_model_id(model), str(path))


def _model_id(model: str) -> str:
    """The id of a logged model. The files of a promoted version name the one they come from."""
    client, registered = mlflow.MlflowClient(), model.removeprefix("models:/")
    name, _, version = registered.rpartition("/")
    found = None
    if model.startswith("models:/") and "@" in registered:
        found = client.get_model_version_by_alias(*registered.split("@", 1))
    elif model.startswith("models:/") and version.isdigit():
        found = client.get_model_version(name, version)
    if found and str(found.source).startswith("models:/m-"):
        return str(found.source).removeprefix("models:/")
    return str(mlflow.models.get_model_info(model).model_id)


def load_profile(model: str, *, of: str = "") -> Profile:
    """The profile of a model; if it has none of this, the one of everything.

    Args:
        model: URI of a registered model, such as "models:/landcover/3".
        of: what it describes, such as "served".

    Raises:
        LookupError: it was stored without one.
    """
    there = {Path(file.path).name for file in mlflow.artifacts.list_artifacts(model) or ()}
    for name in (_file(of), _file("")):
        if name in there:
            return Profile.from_json(mlflow.artifacts.load_text(f"{model}/{name}"))
    raise LookupError(
        f"{model} has no reference profile ({_file('')}): it was trained before profiles were "
        "stored. Train it again, or store one with gaiaflow.monitoring.store_profile."
    )


def _file(of: str) -> str:
    return f"profile-{of}.json" if of else "profile.json"


def is_numeric(values: pd.Series) -> bool:
    """Whether a column holds numbers; truth values are classes."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def numbers_of(values: pd.Series) -> pd.Series:
    """A column as numbers; NaN for all that is none, and for infinities.

    Reference and window are rounded alike, since a distance of distributions counts the smallest
    difference: to what float32 can tell apart and, for `CONFIDENCE`, to per cent.
    """
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    return numbers.round(2) if values.name == CONFIDENCE else _short(numbers)


def classes_of(values: pd.Series, known: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many rows have each text; of a known column, unknown texts count as one."""
    counts = values.dropna().astype(str).value_counts()
    names = set(known) - {OTHER} if known is not None else set(counts.index[:_CATEGORIES])
    found = {name: int(counts.get(name, 0)) for name in sorted(names)}
    return {**found, OTHER: int(counts.sum()) - sum(found.values())}


def _numbers(name: str, values: pd.Series) -> NumberColumn:
    known = values.dropna().to_numpy()
    if not known.size:
        raise ValueError(f"{name} has no values")
    edges = inner_edges(known, BINS)
    return NumberColumn(
        missing=len(values) - known.size,
        low=float(known.min()),
        high=float(known.max()),
        edges=tuple(edges.tolist()),
        counts=tuple(histogram(known, edges).tolist()),
    )


def _classes(values: pd.Series) -> ClassColumn:
    return ClassColumn(int(values.isna().sum()), classes_of(values))


def _column(found: dict[str, Any]) -> NumberColumn | ClassColumn:
    if found.pop("kind") == _KINDS[ClassColumn]:
        return ClassColumn(**found)
    return NumberColumn(
        **{**found, "edges": tuple(found["edges"]), "counts": tuple(found["counts"])}
    )


def _short(numbers: pd.Series) -> pd.Series:
    """Numbers with `_DIGITS` significant digits."""
    size = numbers.abs().where(numbers != 0, 1.0)
    digits = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(size)))
    return (numbers * digits).round() / digits


_KINDS: dict[type, str] = {NumberColumn: "numbers", ClassColumn: "classes"}
