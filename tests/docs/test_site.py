"""The documentation site builds without a warning, and its pages ask no other site for anything."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser import pages
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as it is published."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        built = site / ("" if name.name == "index" else name) / "index.html"
        assert built.is_file(), name


@pytest.mark.parametrize("page", ["", "reference/api/", "tutorial/first-pipeline/"])
def test_a_page_asks_no_other_site(address: str, page: str) -> None:
    asked: list[str] = []
    with pages.chromium_of_a_test() as browser, pages.new_page(browser) as shown:
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(f"{address}/{page}", wait_until="networkidle")
        search = shown.get_by_placeholder("Search")
        search.click()  # the index is loaded for whoever comes here
        shown.get_by_text("Type to start searching").wait_for()
        search.press_sequentially("conflict")
        shown.locator(".md-search-result__item").first.wait_for()
    assert {url for url in asked if not url.startswith(address)} == set()
