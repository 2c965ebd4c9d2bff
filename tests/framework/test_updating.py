"""What an update reads before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaiaflow.errors import GaiaflowError
from gaiaflow.updating import origin

LONG = "/somewhere/" + "a folder/" * 20 + "gaiaflow"


@pytest.mark.parametrize(
    ("text", "source", "commit"),
    [
        ("_commit: 0.4.0\n_src_path: gh:a/b\n", "https://github.com/a/b.git", "0.4.0"),
        ("_commit: 0.4.0  # pinned\n_src_path: /a # ours\n", "/a", "0.4.0"),
        ("_commit: '0.4.0' # pinned\r\n_src_path: \"/a b\"\r\n", "/a b", "0.4.0"),
        ("_src_path: git+https://a/b\n\n# the release\n_commit: 0.10\n", "https://a/b", "0.10"),
        (f"_commit: 1.0\n_src_path:\n  {LONG}\n", LONG, "1.0"),
        ("_commit: 1.0\n_src_path: git@a:b.git\n", "git@a:b.git", "1.0"),
        ("_commit: 1.0\n_src_path: ~/gaiaflow\n", str(Path.home() / "gaiaflow"), "1.0"),
    ],
)
def test_where_a_project_is_from(tmp_path: Path, text: str, source: str, commit: str) -> None:
    (tmp_path / ".copier-answers.yml").write_bytes(text.encode())
    assert origin(tmp_path) == (source, commit)


@pytest.mark.parametrize("text", [None, "", "[]", "a: {", "_commit: 1.0\n", "_src_path: /a\n"])
def test_a_project_from_nowhere(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".copier-answers.yml").write_text(text)
    with pytest.raises(GaiaflowError, match="does not say from where"):
        origin(tmp_path)


@pytest.mark.parametrize("source", ["gaiaflow", "../gaiaflow", "./x/gaiaflow.git"])
def test_a_relative_source_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "gaiaflow").mkdir()  # the framework is called so, too
    (tmp_path / ".copier-answers.yml").write_text(f"_commit: 0.4.0\n_src_path: {source}\n")
    with pytest.raises(GaiaflowError, match="Write its URL, or its whole path") as caught:
        origin(tmp_path)
    assert source in str(caught.value)
