"""With `PROMOTION = "approval"`, a better model waits for a click in Airflow's page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser import pages

from .conftest import LIMIT, Project, wait_for


@pytest.fixture(scope="module")
def asking(stack: Project) -> Iterator[Project]:
    """The project whose `landcover` asks."""
    assert stack.manage("start").code == 0
    path = stack.root / "dags" / "landcover.py"
    before = path.read_text(encoding="utf-8")
    changed, count = re.subn(r'(?m)^PROMOTION = "auto"$', 'PROMOTION = "approval"', before)
    assert count == 1
    path.write_text(changed, encoding="utf-8")
    yield stack
    path.write_text(before, encoding="utf-8")


@pytest.fixture
def page(asking: Project) -> Iterator[Page]:
    with pages.chromium_of_a_test() as browser, pages.new_page(browser) as page:
        pages.log_in(page, asking)
        page.wait_for_url("**/")
        yield page


def champions(project: Project, model: str) -> list[int]:
    versions = project.manage("models", model, "--json").json()
    return [version["version"] for version in versions if "champion" in version["aliases"]]


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "promoted"), [("Approve", True), ("Reject", False)])
def test_a_click_decides(asking: Project, page: Page, answer: str, promoted: bool) -> None:
    model = f"model_{answer.lower()}"
    output = asking.root.parent / "background.log"
    with asking.in_background(
        "run", "landcover", "--json", "--conf", f'{{"model": "{model}"}}'
    ) as run:
        asked = r"(?m)^approve: awaiting_input .*answer at (\S+)$"
        address = wait_for(lambda: re.search(asked, output.read_text()) or run.poll(), LIMIT)
        assert isinstance(address, re.Match), output.read_text()
        assert champions(asking, model) == []
        pages.give_answer(page, address[1], answer, f"Version 1 of {model} has an accuracy of")
        assert run.wait(LIMIT) == 0, output.read_text()
    printed = output.read_text()
    tasks = json.loads(printed[printed.index("\n{") :])["tasks"]
    states = {task["task_id"]: task["state"] for task in tasks}
    expected = "success" if promoted else "skipped"
    assert (states["promote"], states["map"]) == (expected, expected)
    assert champions(asking, model) == ([1] if promoted else [])
