"""An archive of scenes, mapped by the champion, scene by scene."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Done, Project, free_block, wait_for
from .serving import returned


@pytest.fixture(scope="module")
def written(judged: Project, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Scenes in files, and labels of the first."""
    folder = tmp_path_factory.mktemp("archive") / "Wälder"
    return {"folder": folder, **judged.probe("archive", str(folder))}


@pytest.fixture(scope="module")
def api(judged: Project, written: Any) -> Iterator[str]:
    """A STAC API over them."""
    address = f"127.0.0.1:{free_block()}"
    program = judged.python.with_name("rustac")
    command = [program, "serve", written["items"], "--addr", address, "--create-collections"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:

        def answers() -> bool:
            try:
                urllib.request.urlopen(f"http://{address}/", timeout=5).close()
            except OSError:
                assert server.poll() is None
                return False
            return True

        wait_for(answers)
        yield f"http://{address}"
        server.terminate()


@pytest.fixture(scope="module")
def champion(judged: Project) -> Project:
    """The project once it has a model."""
    if not judged.probe("products", "products/landcover/collection.json"):
        assert judged.manage("run", "landcover").code == 0
    return judged


def mapped(project: Project, **conf: Any) -> tuple[Done, dict[str, Any]]:
    """A run of the batch pipeline, and the products that there are."""
    done = project.manage("run", "landcover_batch", "--json", "--conf", json.dumps(conf))
    found = project.probe("products", "products/landcover/")
    items = {key: entry["json"] for key, entry in found.items() if "/items/" in key}
    return done, {key.rpartition("/")[2].removesuffix(".json"): item for key, item in items.items()}


def states(done: Done) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in json.loads(done.out)["tasks"]:
        found.setdefault(task["task_id"], []).append(task["state"])
    return {name: sorted(listed) for name, listed in found.items()}


def test_the_monitor_finds_the_mapped_scene_unchanged(champion: Project) -> None:
    done = champion.manage("run", "landcover_monitor")
    assert done.code == 0
    found = champion.probe("monitored")
    assert found["tags"]["model"] == "landcover"
    # What other tests have asked the champion may be anything.
    changed = returned(champion, done, "judge")["changed"]
    assert [line for line in changed if line.startswith("mapped: ")] == []
    assert found["metrics"]["mapped.rows.count"] > 1000
    assert found["metrics"]["mapped.relation 4.psi"] < 0.1
    assert "data:image/png" in found["report"]


def test_a_broken_scene_fails_alone(champion: Project, api: str, written: Any) -> None:
    first, second, _ = written["bbox"]
    bbox = [first[0], first[1], second[2], second[3]]
    query = {"catalog": api, "collections": ["scenes"], "bbox": bbox, "max_cloud": 50}
    done, items = mapped(champion, **query, start="2026-06-01", end="2026-06-03")
    assert done.code == 1
    assert states(done) == {
        "search": ["success"],
        "map_scene": ["failed", "success"],
        "summary": ["failed"],
    }
    assert "1 of 2 scenes are not mapped" in done.err
    broken = written["folder"] / "2-B08.tif"
    assert f"- S2-day-2: {broken}: GDAL can't read it" in done.err
    [name] = [name for name in items if name.startswith("S2-day-")]
    assert name.startswith("S2-day-1-landcover-v")
    item = items[name]
    [band] = item["assets"]["map"]["bands"]
    shares = {entry["title"]: entry["percentage"] for entry in band["classification:classes"]}
    assert shares["Vegetation"] > 10
    assert item["properties"]["datetime"].startswith("2026-06-01T10:30:00")
    assert item["bbox"] == pytest.approx(first, abs=1e-6)
    assert {"blue", "green", "red", "nir"} <= {
        band.get("eo:common_name")
        for asset in item["assets"].values()
        for band in asset.get("bands", [])
    }
    [values] = champion.probe("products", f"products/landcover/{name}/landcover.tif").values()
    assert values["values"][0] == 0  # the clouds
    assert values["layout"] == "COG"


@pytest.mark.slow
def test_what_is_mapped_is_not_mapped_again(champion: Project) -> None:
    done, items = mapped(champion)
    assert states(done)["map_scene"] == ["success"] * 4
    sample = {name: item for name, item in items.items() if name.startswith("sample-")}
    assert len({item["properties"]["gaiaflow:scene"] for item in sample.values()}) == 5
    done, again = mapped(champion)
    assert done.code == 0
    assert states(done)["map_scene"] == ["skipped"]
    assert again == items
    assert champion.manage("run", "landcover").code == 0  # a new champion
    assert champion.manage("run", "landcover").code == 0
    done, newer = mapped(champion, keep=1)
    assert done.code == 0
    assert {name for name in newer if name.startswith("sample-1-")} != {
        name for name in items if name.startswith("sample-1-")
    }
    made = [
        (facts["gaiaflow:scene"], facts["gaiaflow:model"].rpartition("/")[0])
        for facts in (item["properties"] for item in newer.values())
    ]
    assert len(made) == len(set(made)), sorted(newer)  # of each scene and model, the newest
    objects = champion.probe("products", "products/landcover/")
    folders = {key.split("/")[2] for key in objects if key.endswith(".tif")}
    assert folders == set(newer)


@pytest.mark.slow
def test_labels_of_ones_own(champion: Project, written: Any) -> None:
    data = champion.root / "data"
    for name in ("mine.tif", "labels.gpkg"):
        shutil.copy(written["folder"] / name, data)
    conf = {"scene": "mine.tif", "labels": "labels.gpkg", "label_column": "kind", "model": "fields"}
    done = champion.manage("run", "landcover", "--json", "--conf", json.dumps(conf))
    assert done.code == 0, done
    [found] = champion.probe("products", "products/landcover/items/mine-fields-v1").values()
    [band] = found["json"]["assets"]["map"]["bands"]
    shares = {entry["title"]: entry["percentage"] for entry in band["classification:classes"]}
    assert shares.keys() == {"Wood", "Meadow", "Bare soil"}
    assert sum(shares.values()) == pytest.approx(100, abs=0.01)
    samples = champion.probe("products", "landcover/")
    [table] = [
        entry
        for key, entry in samples.items()
        if key.endswith("samples.parquet") and "block" in entry["columns"]
    ]
    assert {"B02", "B08", "class", "geometry"} <= set(table["columns"]) and table["rows"] > 500


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"scene": "mine.tif"}, "There is no mine.tif in"),
        ({"labels": "none.gpkg"}, "There is no none.gpkg in"),
    ],
)
@pytest.mark.slow
def test_missing_files_are_named(stack: Project, conf: dict[str, str], said: str) -> None:
    for name in conf.values():
        Path(stack.root, "data", name).unlink(missing_ok=True)
    done = stack.manage("run", "landcover", "--conf", json.dumps(conf))
    assert done.code == 1 and said in done.err


@pytest.mark.slow
def test_no_scene_and_no_champion_are_said(champion: Project) -> None:
    done, _ = mapped(champion, start="1999-01-01", end="1999-01-02")
    assert done.code == 1 and "No scene in sample matches" in done.err
    done, _ = mapped(champion, model="nobody")
    assert done.code == 1 and "'nobody' has no champion. A DAG must register" in done.err
