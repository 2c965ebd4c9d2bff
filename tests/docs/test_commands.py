"""Every command line of tutorials and how-tos is run by a test, or says why it is not."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import DOCS, RUN, blocks

PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for folder in ("how-to", "tutorial")
    for page in (DOCS / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_run_or_marked(page: str) -> None:
    for block in blocks(page, "bash"):
        how, _, what = block.mark.partition(" by " if block.mark.startswith("tested") else ": ")
        assert how in {"", "tested", "not run"}, block.mark
        if how == "tested":
            assert (ROOT / what).is_file()
        elif how == "not run":
            assert what
        else:
            assert page in RUN, f"mark it, or run it:\n{block.text}"


@pytest.mark.parametrize("page", RUN)
def test_the_test_that_runs_a_page_names_it(page: str) -> None:
    assert f'"{page}"' in (ROOT / RUN[page]).read_text(encoding="utf-8")
