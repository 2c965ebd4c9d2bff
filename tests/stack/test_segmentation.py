"""The example `segmentation`: a U-Net, wherever pip finds a build of PyTorch for the CPU.

GAIAFLOW_TEST_TORCH_INDEX is the address of an index with one. Not every network reaches PyTorch's.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.generation.test_checks import PINS

from .conftest import Generate, Project, execute, person, wait_for
from .serving import key
from .test_services import ask

EPOCHS = 250  # MLflow looks at CPU and memory every 10 s


@pytest.fixture(scope="module")
def torch(stack: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PyTorch for the project's Python, which stays as it is."""
    folder = tmp_path_factory.mktemp("torch")
    [pin] = [line for line in PINS.read_text().splitlines() if line.startswith("torch==")]
    pip = [sys.executable, "-m", "pip", "--python", str(stack.python), "install", "--quiet"]
    if index := os.environ.get("GAIAFLOW_TEST_TORCH_INDEX"):
        pip.append(f"--extra-index-url={index}")
    look = ("--dry-run", "--ignore-installed", "--no-deps", "--report=-", pin)
    found = execute(*pip, *look, cwd=folder)
    if found.code:
        pytest.skip(f"pip can't install {pin}: {found.err.strip().splitlines()[-1]}")
    version = found.json()["install"][0]["metadata"]["version"]
    if sys.platform == "linux" and "+cpu" not in version:
        pytest.skip(f"pip finds {version} with CUDA, 3 GB; see GAIAFLOW_TEST_TORCH_INDEX")
    done = execute(*pip, "--target", folder, pin, cwd=folder)
    assert done.code == 0, done
    return folder


@pytest.fixture(scope="module")
def fresh(generate: Generate) -> Project:
    return generate("Tiefe Wälder", package_name="deep_forest", example="segmentation")[0]


def test_a_network_is_trained_for_seconds(stack: Project, torch: Path, fresh: Project) -> None:
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_segmentation.py")
    done = execute(stack.python, *tests, cwd=fresh.root, env=person(PYTHONPATH=str(torch)))
    assert done.code == 0, done
    assert "skipped" not in done.out, done


@pytest.mark.slow
def test_types(stack: Project, torch: Path, fresh: Project) -> None:
    env = person(PYTHONPATH=str(torch))
    done = execute(stack.python, "-m", "mypy", cwd=fresh.root, env=env)
    assert done.code == 0, done


@pytest.fixture(scope="module")
def segmented(stack: Project, torch: Path) -> Iterator[Project]:
    """The project of all tests, to which somebody adds the example and PyTorch."""
    started = stack.manage("start")
    assert started.code == 0, started
    added = stack.manage("new", "example", "segmentation")
    assert added.code == 0, added
    assert "Install first:  uv add nvidia-ml-py psutil torch\n" in added.err
    [packages] = (stack.root / ".venv" / "lib").glob("python*/site-packages")
    installed = packages / "torch-of-a-test.pth"
    installed.write_text(f"{torch}\n", encoding="utf-8")
    yield stack
    installed.unlink()
    removed = stack.manage("remove", "example", "segmentation")
    assert removed.code == 0, removed


def is_training(project: Project) -> bool:
    """Whether the store has a checkpoint."""
    return "checkpoint.pt" in project.manage("ls", "segmentation/").out


@pytest.mark.slow
def test_a_killed_training_goes_on(segmented: Project) -> None:
    conf = json.dumps({"epochs": EPOCHS})
    with segmented.in_background("run", "segmentation", "--conf", conf) as process:
        wait_for(lambda: is_training(segmented), 180)
        [task] = segmented.tasks()
        task.kill()
        assert process.wait(300) == 0, (segmented.root.parent / "background.log").read_text()
    [run] = segmented.probe("segmentation_runs")
    assert run["status"] == "FINISHED"
    # At most the epoch whose checkpoint was not stored yet is there twice.
    assert sorted(set(run["epochs"])) == list(range(1, EPOCHS + 1))
    assert len(run["epochs"]) <= EPOCHS + 1
    assert "system/cpu_utilization_percentage" in run["system"]
    assert not is_training(segmented)


@pytest.mark.slow
def test_the_network_maps_an_archive_and_is_served(segmented: Project, tmp_path: Path) -> None:
    if "segmentation" not in segmented.manage("models").out:
        assert segmented.manage("run", "segmentation").code == 0
    done = segmented.manage("run", "landcover_batch", "--conf", '{"model": "segmentation"}')
    assert done.code == 0, done
    listed = segmented.manage("ls", "products/landcover/items/").out
    assert "sample-1-segmentation-v1.json" in listed
    file = tmp_path / "model.json"
    got = segmented.manage("get", "products/landcover/models/segmentation-v1.json", str(file))
    assert got.code == 0, got
    about = json.loads(file.read_text(encoding="utf-8"))["properties"]
    assert about["mlm:architecture"] == "U-Net"
    assert about["mlm:input"][0]["bands"] == ["B02", "B03", "B04", "B08"]

    before = segmented.env_file.read_text(encoding="utf-8")
    changed, count = re.subn(r"(?m)^SERVING_MODEL=.*$", "SERVING_MODEL=segmentation", before)
    assert count == 1
    segmented.env_file.write_text(changed, encoding="utf-8")
    try:
        started = segmented.manage("start", "--service", "serving")
        assert started.code == 0, started
        image = [[[0.1] * 5] * 7] * 4
        url = segmented.url("SERVING_PORT") + "/invocations"
        code, answer = ask(url, {"inputs": [image]}, **key(segmented))
        assert code == 200, answer
        [codes] = json.loads(answer)["predictions"]
        assert [len(row) for row in codes] == [5] * 7
        code, answer = ask(url, {"inputs": [image[:3]]}, **key(segmented))
        assert code == 400, answer
    finally:
        segmented.manage("stop", "--service", "serving")
        segmented.env_file.write_text(before, encoding="utf-8")
