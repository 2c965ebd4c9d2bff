"""What all tests share: the template as a git repository, and rendered projects."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy

from tests import hermetic

hermetic.clean()

ROOT = Path(__file__).resolve().parents[1]

Render = Callable[..., Path]

SLICES = 24  # of the tests marked `slow`; CI runs one for each commit


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow",
        choices=("none", "slice", "all"),
        default="none",
        help="the tests marked `slow`: none, those of this commit's slice (as CI does), or all",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist adds groups to the names
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests that nobody asked for."""
    wanted = config.getoption("--slow")
    if wanted == "all":
        return
    chosen = commit_number() % SLICES if wanted == "slice" else None
    left_out = [
        item
        for item in items
        if item.get_closest_marker("slow") and zlib.crc32(item.nodeid.encode()) % SLICES != chosen
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def commit_number() -> int:
    """A number that is different for each commit, and the same in all of its runs."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout or "0", 16)


def share_services(
    items: list[pytest.Item], folder: Path, order: tuple[str, ...], groups: dict[str, str]
) -> None:
    """Let the tests of a folder share one running project: in one process, in this order.

    Modules in `groups` have a project of their own: they join the group named there.
    """
    here = [item for item in items if folder in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.stack)
        item.add_marker(pytest.mark.xdist_group(groups.get(item.path.stem, folder.name)))
    ordered = iter(sorted(here, key=lambda item: order.index(item.path.stem)))
    items[:] = [next(ordered) if item in here else item for item in items]


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """What pytest-copier makes the template's repository of: the working tree as it is."""
    return [".gitattributes", ".gitignore", "copier.yml", "extensions", "tasks", "template"]


@pytest.fixture(scope="session")
def render(copier_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a project without running tasks; the same answers give the same folder.

    The folder is shared by all tests: leave it as it is, or copy it.
    """
    rendered: dict[str, Path] = {}

    def render_once(**answers: Any) -> Path:
        answers = {"project_name": "Forest Watch", "setup": "none", **answers}
        key = repr(sorted(answers.items()))
        if key not in rendered:
            name = re.sub(r"\W+", "-", answers["project_name"].lower())[:20]
            folder = tmp_path_factory.mktemp(name) / "project"
            run_copy(
                str(copier_template),
                folder,
                data=answers,
                defaults=True,
                unsafe=True,
                skip_tasks=True,
                quiet=True,
            )
            rendered[key] = folder
        return rendered[key]

    return render_once


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many random updates have been tried (here, for with xdist no other place is read)."""
    counts: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                counts[name] += value
    cases = {name: count for name, count in counts.items() if name.startswith("cases")}
    if cases:
        shown = ", ".join(f"{count} {name}" for name, count in sorted(cases.items()))
        terminalreporter.write_line(f"updates: {shown}; {counts['lost']} with lost lines")
