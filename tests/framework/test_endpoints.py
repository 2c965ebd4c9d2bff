"""What containers and pods are told of the servers."""

from __future__ import annotations

import pytest

from gaiaflow.project import clients

PATHS = {"AWS_VIRTUAL_HOSTING": "FALSE"}


@pytest.mark.parametrize(
    ("endpoint", "gdal"),
    [
        ("http://127.0.0.1:8083", {"AWS_S3_ENDPOINT": "127.0.0.1:8083", "AWS_HTTPS": "NO"}),
        ("https://s3.team.example", {"AWS_S3_ENDPOINT": "s3.team.example", "AWS_HTTPS": "YES"}),
        ("https://s3.team:9000/", {"AWS_S3_ENDPOINT": "s3.team:9000", "AWS_HTTPS": "YES"}),
    ],
)
def test_gdal_asks_the_store_that_boto3_asks(endpoint: str, gdal: dict[str, str]) -> None:
    told = clients.task_env({"AWS_ENDPOINT_URL": endpoint}, in_stack=False)
    assert told == {"AWS_ENDPOINT_URL": endpoint, **gdal, **PATHS, **clients.MLFLOW_CLIENT}


def test_without_an_endpoint_everybody_asks_amazon() -> None:
    told = clients.task_env({"S3_BUCKET": "scenes"}, in_stack=False)
    assert told == {"S3_BUCKET": "scenes", **clients.MLFLOW_CLIENT}


def test_the_servers_of_this_machine_have_names_inside() -> None:
    here = {"AWS_ENDPOINT_URL": "http://127.0.0.1:8083", "AWS_S3_ENDPOINT": "127.0.0.1:8083"}
    told = clients.task_env(here, in_stack=True)
    gdal = {"AWS_S3_ENDPOINT": "object-store:8333", "AWS_HTTPS": "NO", **PATHS}
    assert told == {**clients.ADDRESSES, **gdal, **clients.MLFLOW_CLIENT}
