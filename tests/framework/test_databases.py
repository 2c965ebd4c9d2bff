"""Copies of SQLite databases that are about to be upgraded."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from gaiaflow.project import databases
from gaiaflow.project.errors import GaiaflowError


def make(path: Path, revision: str) -> Path:
    """A database as Alembic makes it."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        connection.execute("DELETE FROM alembic_version")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    return path


def test_a_second_try_leaves_the_copy_of_the_first(tmp_path: Path) -> None:
    """An upgrade that was interrupted has changed some tables, and the revision with them."""
    database = make(tmp_path / "a.db", "one")
    databases.keep_copy(database)
    databases.keep_copy(make(database, "between"))
    copy = tmp_path / "a.db.before-upgrade-one"
    assert databases.revision(copy) == "one"
    assert databases.revision(tmp_path / "a.db.before-upgrade-between") == "between"


def test_there_is_nothing_to_copy(tmp_path: Path) -> None:
    databases.keep_copy(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()
    databases.keep_copy(tmp_path / "empty.db")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]


def test_a_copy_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """Not an exception that ends a thread while services start without the upgrade."""
    database = make(tmp_path / "a.db", "one")
    (tmp_path / "a.db.before-upgrade-one").mkdir()
    with pytest.raises(GaiaflowError, match=r"a\.db can't be copied"):
        databases.keep_copy(database)
