"""Read and change a `.env` file: `NAME=value` lines, shared with Docker Compose.

A quoted value may span several lines, such as a key in PEM format.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gaiaflow.project.errors import GaiaflowError

_ASSIGNMENT = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=[ \t]*?"""
    r"""(?P<value>"[^"]*"|'[^']*'|\S.*?|)(?:\s+\#.*|\s*)""",
    re.DOTALL,  # a form feed does not end a line
)
_OPEN = re.compile(r"""\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=[ \t]*(?P<quote>["'])""")


def read(path: Path) -> dict[str, str]:
    """Read the settings of an env file.

    Raises:
        GaiaflowError: a line is not `NAME=value`, a quote is not closed, a name is set twice, or
            the file is not text. The message contains the line number but never a value.
    """
    values: dict[str, str] = {}
    first_line: dict[str, int] = {}
    for number, line in _entries(_text(path)):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if not match:
            raise _bad_line(path, number, "expected NAME=value")
        name = match["name"]
        if name in values:
            again = f"{name} is already set in line {first_line[name]}"
            raise _bad_line(path, number, again)
        value = _unquote(match["value"])
        if value is None:
            raise _bad_line(path, number, f"the quote in the value of {name} is not closed")
        values[name], first_line[name] = value, number
    return values


def update(path: Path, changes: Mapping[str, str]) -> None:
    """Change values in place; keep comments, order and all other lines."""
    lines = [line for _, line in _entries(_text(path))]
    for index, line in enumerate(lines):
        match = _ASSIGNMENT.fullmatch(line)
        if match and match["name"] in changes:
            start, end = match.span("value")
            lines[index] = line[:start] + changes[match["name"]] + line[end:]
    write(path, "\n".join(lines))


def write(path: Path, text: str) -> None:
    """Write a file of secrets completely or not at all.

    Only its owner can read a new file. An existing file keeps its mode and owner; a symbolic link
    keeps its target.
    """
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            if path.exists():
                _make_alike(file.fileno(), path.stat())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _make_alike(descriptor: int, wanted: os.stat_result) -> None:
    mode = stat.S_IMODE(wanted.st_mode)
    try:
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    except OSError:  # the owner changes: don't give the old group's rights to ours
        mode &= ~stat.S_IRWXG
    os.fchmod(descriptor, mode)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers; the lines of one value stay together."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        last = number
        if found := _OPEN.match(lines[number]):
            rest = lines[number][found.end() :]
            while found["quote"] not in rest and last + 1 < len(lines):
                last += 1
                rest = lines[last]
            if found["quote"] not in rest:
                last = number  # never closed
        yield number + 1, "\n".join(lines[number : last + 1])
        number = last + 1


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _bad_line(path, line, "not UTF-8 text") from None


def _unquote(value: str) -> str | None:
    """Remove quotes. Return None if a quote is not closed."""
    if value[:1] in {"'", '"'}:
        inner, closed, _ = value[1:].partition(value[0])
        return inner if closed else None
    return value


def _bad_line(path: Path, number: int, what: str) -> GaiaflowError:
    return GaiaflowError(
        f"{path.name}, line {number}: {what}.\n"
        f"Correct the line ({path.name}.example explains every setting), or delete {path.name}: "
        "`python3 mlops_manager.py start` creates a new one with new passwords."
    )
