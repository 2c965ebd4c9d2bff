"""gaiaflow.monitoring, in the environment of a generated project, where it is used.

tests/stack/test_generated.py runs these tests there; any other pytest without mlflow passes them
over.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("mlflow") is None:
    collect_ignore_glob = ["test_*.py"]

BANDS = ["B02", "B03", "B04", "B08"]

Window = Callable[..., Any]


@pytest.fixture(scope="session")
def scene() -> Any:
    """The pixels of the example's Sentinel-2 scene: 90 000 rows, reflectance in 4 bands."""
    import pandas as pd
    import spyndex

    data = spyndex.datasets.open("sentinel")
    assert list(data.coords["band"].values) == BANDS
    return pd.DataFrame(data.values.reshape(4, -1).T / 10_000, columns=BANDS)


@pytest.fixture(scope="session")
def model() -> Any:
    """A model like the example's, trained on the spectra that come with the scene."""
    import spyndex
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = {"SR_B2": "B02", "SR_B3": "B03", "SR_B4": "B04", "SR_B5": "B08"}
    table = spyndex.datasets.open("spectral").rename(columns=names)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        table[BANDS], table["class"]
    )


@pytest.fixture(scope="session")
def observe(model: Any) -> Window:
    """Add what the model predicts, and how sure it is."""

    def observe(pixels: Any) -> Any:
        known = pixels.dropna()
        shares = model.predict_proba(known)
        said = {
            "prediction": model.classes_[shares.argmax(axis=1)],
            "confidence": shares.max(axis=1),
        }
        return pixels.join(known.assign(**said)[list(said)])

    return observe


@pytest.fixture(scope="session")
def window(scene: Any, observe: Window) -> Window:
    """Rows of the scene, other ones for each seed; `change` may change them before the model."""

    def window(
        seed: int, rows: int = 1000, change: Callable[[Any], Any] = lambda rows: rows
    ) -> Any:
        drawn = scene.sample(rows, replace=True, random_state=seed).reset_index(drop=True)
        return observe(change(drawn))

    return window


@pytest.fixture(scope="session")
def profile(window: Window) -> Any:
    from gaiaflow.monitoring import Profile

    return Profile.from_json(Profile.of(window(1_000_000, 2000)).to_json())


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real MLflow store and registry, in a temporary folder."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path.as_posix()}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
