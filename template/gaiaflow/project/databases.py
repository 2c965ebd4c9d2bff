"""Copies of SQLite databases before an upgrade.

Standard library only.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from gaiaflow.project.errors import GaiaflowError, explain_output


def keep_copy(database: Path) -> None:
    """Copy a database, if there is one, to `NAME.before-upgrade-REVISION`.

    Airflow and MLflow upgrade their tables one by one, and can't go back. If an upgrade fails and
    is tried again, the revision of its tables is another one, and so is the copy.

    Raises:
        GaiaflowError: the copy can't be made.
    """
    found = revision(database)
    if found is None:
        return
    copy = database.with_name(f"{database.name}.before-upgrade-{found}")
    try:
        with (
            contextlib.closing(sqlite3.connect(database)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        reason = explain_output(str(error))
        raise GaiaflowError(
            f"{database.name} can't be copied before its upgrade: {reason}"
        ) from None


def revision(database: Path) -> str | None:
    """The revision of a database's tables, as Alembic has noted it; None if there are none."""
    if not database.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return found[0] if found else None
