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
    for process in project.processes():
        process.kill()


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


def run_name(project: Project) -> str:
    """The folder that a run of the example has left in the store."""
    keys = [entry["key"] for entry in project.manage("ls", "landcover/", "--json").json()]
    return str(keys[0]).split("/")[1]


def test_results(running: Project, shell: dict[str, str]) -> None:
    page = "how-to/results.md"
    (running.root / "scene.tif").write_bytes(b"a scene")
    for command in commands_of(page):
        text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{6}", run_name(running), command)
        done = run_block(running, text, shell)
        assert done.code == 0, done
    assert (running.root / "landcover.tif").is_file()


def test_store(running: Project, tmp_path: Path) -> None:
    page = "how-to/store.md"
    code = [block.text for block in blocks(page, "python") if "xarray" not in block.text]
    assert len(code) == 4
    script = tmp_path / "store.py"
    script.write_text("\n".join(code).replace("RUN", run_name(running)), encoding="utf-8")
    done = execute(running.python, script, cwd=running.root, env=person())
    assert done.code == 0, done
    [copy] = running.manage("ls", "mine/", "--json").json()
    assert copy["key"] == "mine/copy.tif"


@pytest.mark.slow
def test_a_scene_of_ones_own(running: Project, shell: dict[str, str]) -> None:
    page = "how-to/own-pipeline.md"
    key = f"landcover/{run_name(running)}/scene.tif"
    copied = running.manage("get", key, str(running.root / "data" / "scene.tif"))
    assert copied.code == 0, copied
    [command] = commands_of(page)
    done = run_block(running, command, shell)
    assert done.code == 0, done


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
