"""How git lists paths to Copier in an update."""

from __future__ import annotations

import os

import pytest

from extensions.own_git import path_of


@pytest.mark.parametrize(
    ("listed", "path"),
    [
        ("data/Übung 1.txt", b"data/\xc3\x9cbung 1.txt"),
        (r'"a\tb\"c\\d"', b'a\tb"c\\d'),
        (r'"W\303\234 \334"', b"W\xc3\x9c \xdc"),
    ],
)
def test_a_path_that_git_lists(listed: str, path: bytes) -> None:
    assert os.fsencode(path_of(listed)) == path
