"""A result is there whole or not at all, whatever happens to the process, the disk or the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gaiaflow
from gaiaflow.rasters import Description, RasterError, apply, open_raster

from .conftest import Make

SLOW = """
import resource, signal, sys, time
from gaiaflow.rasters import Description, apply, open_raster

source, destination, limit = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))

def wait(values):
    if limit == "-1":
        print("working", flush=True)
        time.sleep(60)
    return values

with open_raster(source) as raster:
    apply(wait, raster, destination, Description(nodata=-1.0))
"""


def started(source: Path, destination: Path, limit: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW, str(source), str(destination), str(limit)]
    env = {**os.environ, "PYTHONPATH": str(Path(gaiaflow.__file__).parents[1])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)


def test_a_killed_process_leaves_nothing_that_stays(
    make: Make, scene: object, tmp_path: Path
) -> None:
    source, place = make(scene), tmp_path / "maps"
    with started(source, place / "map.tif", -1) as process:
        assert process.stdout
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGKILL)
    [left] = place.iterdir()
    assert left.is_dir() and left.name.startswith(".gaiaflow-raster-")
    with open_raster(source) as raster:
        apply(lambda values: values, raster, place / "other.tif", Description(nodata=-1.0))
    assert [path.name for path in place.iterdir()] == ["other.tif"]


def test_the_folder_of_a_running_process_stays(make: Make, scene: object, tmp_path: Path) -> None:
    source, place = make(scene), tmp_path / "maps"
    with started(source, place / "map.tif", -1) as process:
        assert process.stdout
        assert process.stdout.readline() == "working\n"
        with open_raster(source) as raster:
            apply(lambda values: values, raster, place / "other.tif", Description(nodata=-1.0))
        assert len(list(place.iterdir())) == 2
        process.terminate()


def test_a_full_disk(make: Make, scene: object, tmp_path: Path) -> None:
    """As far as a file may grow: the kernel's error is another than that of a full disk."""
    place = tmp_path / "maps"
    with started(make(scene), place / "map.tif", 5_000) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert f"RasterError: {place}: the raster can't be written there, where" in said
    assert list(place.iterdir()) == []


def test_a_store_that_does_not_answer(
    make: Make, scene: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with (
        open_raster(make(scene)) as raster,
        pytest.raises(RasterError, match=r"s3://bucket/map\.tif: the store does not take it"),
    ):
        apply(lambda values: values, raster, "s3://bucket/map.tif", Description(nodata=-1.0))
    assert list((tmp_path / "tmp").iterdir()) == []
