"""gaiaflow.promotion, in the environment of a generated project, with two real MLflow servers.

tests/stack/test_generated.py runs these tests there; any other pytest without MLflow passes them
over.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .servers import DIRECT, PACKAGE, TEMPLATE, Tracking, running

if importlib.util.find_spec("mlflow") is None:
    collect_ignore_glob = ["test_*.py"]

COMMIT = "c" * 40
TAGS = {
    "airflow.dag_id": "landcover",
    "airflow.run_id": "manual__1",
    "mlflow.source.git.commit": COMMIT,
    "gaiaflow.version": "0.8.0",
    "mlflow.note.content": "The first samples.",
}


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Tracking]]:
    """This project's own MLflow and that of prod; they start at the same time."""
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        names = ("own", "prod")
        found = {name: stack.enter_context(running(folder / name, name)) for name in names}
        for server in found.values():
            server.wait()
        yield found


@pytest.fixture
def own(servers: dict[str, Tracking]) -> Tracking:
    return servers["own"]


@pytest.fixture
def prod(servers: dict[str, Tracking]) -> Tracking:
    return servers["prod"]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy leads to these servers."""
    for name, value in DIRECT.items():
        monkeypatch.setenv(name, value)


@contextmanager
def using(server: Tracking) -> Iterator[Any]:
    """Let MLflow's client in this process use a server."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.env, **DIRECT}.items():
            patch.setenv(name, value)
        mlflow.set_tracking_uri(server.url)
        mlflow.set_registry_uri(server.url)
        yield mlflow.MlflowClient()


@pytest.fixture(scope="session")
def trained(servers: dict[str, Tracking]) -> tuple[str, str]:
    """A run in this project's own MLflow as a task makes it, and the URI of its model."""
    import mlflow
    import pandas as pd
    from mlflow.data.pandas_dataset import from_pandas
    from sklearn.linear_model import LogisticRegression

    from gaiaflow.monitoring import Profile, store_profile

    table = pd.DataFrame({"red": [0.1, 0.2, 0.3, 0.4], "nir": [0.5, 0.1, 0.6, 0.2]})
    classes = ["Forest", "Water", "Forest", "Water"]
    with using(servers["own"]):
        mlflow.set_experiment(PACKAGE)
        with mlflow.start_run(run_name="landcover", tags=TAGS) as run:
            mlflow.log_params({"C": 1.0, "folds": 5})
            for step, loss in enumerate([0.9, 0.5, 0.3]):
                mlflow.log_metric("loss", loss, step=step)
            mlflow.log_input(from_pandas(table, "s3://bucket/table", name="features"), "training")
            info = mlflow.sklearn.log_model(
                LogisticRegression().fit(table, classes),
                name="model",
                input_example=table.head(2),
                pip_requirements=["scikit-learn"],
            )
            mlflow.log_metric("accuracy", 0.93, model_id=info.model_id)
            store_profile(Profile.of(table), info.model_uri)
    return run.info.run_id, info.model_uri


@pytest.fixture
def register(own: Tracking, trained: tuple[str, str]) -> Callable[..., int]:
    """Register the trained model; the version's number."""

    def register(name: str) -> int:
        import mlflow

        with using(own) as client:
            version = mlflow.register_model(trained[1], name, tags={"accuracy": "0.93"})
            client.update_model_version(name, version.version, "Of the **first** samples.")
            client.update_registered_model(name, "Land cover of pixels.")
            client.set_registered_model_alias(name, "champion", version.version)
            client.set_model_version_tag(name, version.version, "champion_since", "2026")
        return int(version.version)

    return register


@pytest.fixture
def project(own: Tracking, prod: Tracking) -> Any:
    """A project whose settings name both servers."""
    stage = {f"PROD_{name}": value for name, value in prod.env.items()}
    others = {
        **{"AIRFLOW_USER": "admin", "AIRFLOW_PASSWORD": "canary-airflow"},
        **{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "canary-store"},
        **{"AWS_DEFAULT_REGION": "us-east-1", "S3_BUCKET": "gaiaflow"},
    }
    return SimpleNamespace(
        root=TEMPLATE,  # where gaiaflow is
        env={**own.env, **stage, **others},
        url=lambda name: own.url if name == "MLFLOW_PORT" else "http://127.0.0.1:1",
        identity=SimpleNamespace(package=PACKAGE),
        environment=SimpleNamespace(python=Path(sys.executable)),
    )
