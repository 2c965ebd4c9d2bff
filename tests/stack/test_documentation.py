"""What the documentation shows is what happens: README's first command, tutorials and how-tos.

tests/docs/blocks.py says how the pages' code blocks get here.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, blocks, commands_of

from .conftest import Done, Project, execute, person, run_block

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Where the command creates its project; whatever happens, nothing of it stays running."""
    project = Project(tmp_path_factory.mktemp("readme") / "Schnee höhe" / "my-project")
    project.root.parent.mkdir()
    yield project
    project.kill()


@pytest.fixture(scope="module")
def shell(uv: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of somebody with an empty home."""
    home = tmp_path_factory.mktemp("home")
    cache = execute(uv, "cache", "dir", cwd=home).out.strip()
    path = f"{Path(sys.executable).parent}:{person()['PATH']}"
    who = {
        f"GIT_{kind}_{name}": "me@localhost"
        for kind in ("AUTHOR", "COMMITTER")
        for name in ("NAME", "EMAIL")
    }
    return person(HOME=str(home), PATH=path, UV_CACHE_DIR=cache, **who)


def test_from_readmes_command_to_a_green_pipeline(
    copier_template: Path, project: Project, shell: dict[str, str]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    page = "tutorial/first-pipeline.md"
    assert command in (DOCS / page).read_text(encoding="utf-8")
    # All as it stands there, but from this repository instead of GitHub.
    for theirs, ours in (
        ("git+https://github.com/bcdev/gaiaflow", ROOT),
        ("gh:bcdev/gaiaflow", copier_template),
    ):
        assert theirs in command
        command = command.replace(theirs, shlex.quote(str(ours)))
    done = execute("bash", "-c", command, cwd=project.root.parent, env=shell)
    assert done.code == 0, done
    # Default ports: somebody may have them, and then they move.
    assert re.search(r"The example is green, \d+ s after the files were written\.", done.err), done
    project.assert_all_is_healthy()

    listed = execute("git", "ls-files", cwd=project.root).out.splitlines()
    assert "uv.lock" in listed
    assert ".env" not in listed
    log = execute("git", "log", "--oneline", cwd=project.root).out.splitlines()
    assert len(log) == 1
    status = execute("git", "status", "--porcelain", cwd=project.root)
    assert (status.code, status.out) == (0, "")
    head = execute("git", "rev-parse", "HEAD", cwd=project.root).out.strip()
    code = project.manage("lineage", "landcover", "--json").json()["model"]["training"]["code"]
    assert (code["commit"], code["dirty"]) == (head, False)


@pytest.mark.slow
def test_the_first_tutorial(project: Project, shell: dict[str, str]) -> None:
    page = "tutorial/first-pipeline.md"
    loading, summary, task = (block.text for block in blocks(page, "python"))
    status, skeleton, with_samples, end = commands_of(page)

    def run(command: str) -> Done:
        return run_block(project, command, shell)

    for command in (status.replace("cd my-project\n", ""), skeleton):
        done = run(command)
        assert done.code == 0, done

    module = project.root / "my_project" / "dataloader" / "change_me.py"
    module.write_text(loading, encoding="utf-8")
    done = run(with_samples)
    assert done.code == 0, done

    module.write_text(loading.replace("SR_B5", "SR_B8"), encoding="utf-8")
    done = run(skeleton)
    assert done.code == 1
    for line in ("log of load, try 1", '"nir": spectra["SR_B8"]', "KeyError: 'SR_B8'"):
        assert line in done.err, done
    module.write_text(loading, encoding="utf-8")

    (project.root / "my_project" / "postprocess" / "change_me.py").write_text(summary, "utf-8")
    dag = project.root / "dags" / "change_me.py"
    before = dag.read_text(encoding="utf-8")
    changed = re.sub(r"(?ms)^    summarize = create_task\(.*?^    \)\n", lambda _: task, before)
    assert changed != before
    dag.write_text(changed, encoding="utf-8")
    done = run(skeleton)
    assert done.code == 0, done
    text = (DOCS / page).read_text(encoding="utf-8")
    [shares] = re.findall(r"(?m)^shares: .*$", text)
    logs = (project.root / ".gaiaflow" / "logs" / "tasks").rglob("*task_id=summarize*/*.log")
    assert any(shares in path.read_text(encoding="utf-8") for path in logs)

    done = run(end)  # checks, commits and stops
    assert done.code == 0, done
    project.assert_nothing_is_left()


@pytest.fixture
def running(project: Project) -> Project:
    started = project.manage("start")
    assert started.code == 0, started
    return project


@pytest.mark.slow
def test_the_second_tutorial(running: Project, shell: dict[str, str]) -> None:
    page = "tutorial/to-production.md"
    for block in blocks(page, "python"):
        heading = block.text.splitlines()[0].removeprefix("# ")
        if heading.endswith(".py"):
            (running.root / heading).write_text(block.text, encoding="utf-8")
    [commands] = commands_of(page)
    done = run_block(running, commands, shell)
    assert done.code == 0, done
    assert "tiles is green" in done.out


def product_name(project: Project, scene: str = "sample") -> str:
    """The newest map of a scene, as the pages name that of version 1."""
    prefix = f"products/landcover/items/{scene}-landcover-v"
    keys = [entry["key"] for entry in project.manage("ls", prefix, "--json").json()]
    newest = max(int(key.removeprefix(prefix).removesuffix(".json")) for key in keys)
    return f"{scene}-landcover-v{newest}"


def test_results(running: Project, shell: dict[str, str]) -> None:
    page = "how-to/results.md"
    (running.root / "scene.tif").write_bytes(b"a scene")
    name = product_name(running)
    for command in commands_of(page):
        done = run_block(running, command.replace("sample-landcover-v1", name), shell)
        assert done.code == 0, done
    assert (running.root / "landcover.tif").is_file()
    assert (running.root / "landcover" / "collection.json").is_file()
    assert (running.root / "landcover" / name / "landcover.tif").is_file()


def test_store(running: Project, tmp_path: Path) -> None:
    page = "how-to/store.md"
    code = [block.text for block in blocks(page, "python") if "xarray" not in block.text]
    assert len(code) == 5
    script = tmp_path / "store.py"
    text = "\n".join(code).replace("sample-landcover-v1", product_name(running))
    script.write_text(text, encoding="utf-8")
    done = execute(running.python, script, cwd=running.root, env=person())
    assert done.code == 0, done
    copies = running.manage("ls", "mine/", "--json").json()
    assert [copy["key"] for copy in copies] == ["mine/copy.tif", "mine/vegetation.tif"]


# A scene with a place on the Earth, and labels in another CRS: `mine.tif` and `labels.gpkg`.
OWN_DATA = """
from dataclasses import replace

import geopandas
import numpy as np
from rasterio.crs import CRS
from rasterio.transform import from_origin

from my_project.dataloader.scene import sample_scene, store_scene

place = from_origin(5e5, 5.4e6, 10, 10)
scene = replace(sample_scene(), crs=CRS.from_epsg(32632), transform=place)
store_scene(scene, "data/mine.tif")
rows, columns = (index.ravel() for index in np.mgrid[0:300:10, 0:300:10])
_, _, red, near_infrared = scene.values[:, rows, columns]
ndvi = (near_infrared - red) / (near_infrared + red)
points = geopandas.points_from_xy(5e5 + columns * 10 + 5, 5.4e6 - rows * 10 - 5)
landuse = np.where(ndvi > 0.5, "crop", "bare")
labels = geopandas.GeoDataFrame({"landuse": landuse}, geometry=points, crs="EPSG:32632")
labels[abs(ndvi - 0.5) > 0.1].to_crs("EPSG:4326").to_file("data/labels.gpkg")
"""


@pytest.mark.slow
def test_an_archive_and_data_of_ones_own(running: Project, shell: dict[str, str]) -> None:
    page = "tutorial/from-archive-to-map.md"
    batch, look, again, own, train, use = commands_of(page)
    assert commands_of("how-to/own-pipeline.md") == [train]
    [script] = (block.text for block in blocks(page, "python"))
    (running.root / "archive.py").write_text(script, encoding="utf-8")
    env = person(PYTHONPATH=str(running.root))
    done = execute(running.python, "-c", OWN_DATA, cwd=running.root, env=env)
    assert done.code == 0, done

    def run(command: str) -> None:
        done = run_block(running, command, shell)
        assert done.code == 0, done

    run(batch)
    first = product_name(running, "sample-1")
    run(look.replace("sample-1-landcover-v1", first))
    assert (running.root / f"{first}.json").is_file()
    run(again)
    newest = product_name(running, "sample-1")
    assert newest != first
    run(own)
    assert product_name(running, "june") == newest.replace("sample-1", "june")
    run(train)
    run(use)
    keys = {entry["key"] for entry in running.manage("ls", "products/", "--json").json()}
    for name in ("mine-fields-v1", "june-fields-v1"):
        assert f"products/landcover/{name}/landcover.tif" in keys


@pytest.mark.slow
def test_back_up_and_restore(running: Project, shell: dict[str, str]) -> None:
    page = "how-to/back-up.md"
    back_up, restore = commands_of(page)
    before = running.probe("products"), running.probe("tracking")
    done = run_block(running, back_up, shell)
    assert done.code == 0, done
    assert running.manage("clean", "--data", "--yes").code == 0
    (running.root / ".env").unlink()
    done = run_block(running, restore, shell)
    assert done.code == 0, done
    assert (running.probe("products"), running.probe("tracking")) == before
    assert running.manage("stop").code == 0
