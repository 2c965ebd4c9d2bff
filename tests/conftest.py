"""What all tests share: the template as a git repository, and rendered projects."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy

ROOT = Path(__file__).resolve().parents[1]

Render = Callable[..., Path]


def share_services(items: list[pytest.Item], folder: Path, order: tuple[str, ...]) -> None:
    """Let the tests of a folder share one running project: in one process, in this order."""
    here = [item for item in items if folder in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.stack)
        item.add_marker(pytest.mark.xdist_group(folder.name))
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
