"""Add files to a project, and remove them while they are unchanged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gaiaflow.additions import importing
from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.paths import StateFolder


@dataclass(frozen=True)
class Addition:
    """Files for a project; paths are relative to its folder.

    `new` must not exist there; `needed` are added where they don't. `packages` are what the files
    need and the project doesn't declare.
    """

    new: Mapping[str, bytes]
    needed: Mapping[str, bytes]
    packages: Sequence[str] = ()


@dataclass(frozen=True)
class Removed:
    """What was removed, and what stays because other files of the project use it."""

    gone: Sequence[str]
    used: Sequence[str]


def add(root: Path, title: str, addition: Addition) -> list[str]:
    """Write an addition's files, all or none, and return their paths.

    Args:
        title: what it is called, such as "dag forest".

    Raises:
        GaiaflowError: a file exists, would share its module's name with another, or lacks what the
            new ones need; nothing was written.
    """
    if taken := [path for path in addition.new if os.path.lexists(root / path)]:
        raise GaiaflowError(
            f"{_listed(taken)} {'exists' if len(taken) == 1 else 'exist'}.\n"
            "Nothing was added. Choose another name."
        )
    missing = {path: data for path, data in addition.needed.items() if not (root / path).exists()}
    files = {**addition.new, **missing}
    for path, existing in _clashes(root, files):
        raise GaiaflowError(
            f"{path} would clash with {existing}: Python imports only one of the two.\n"
            f"Nothing was added. Rename {existing} or choose another name."
        )
    if lacking := importing.lacking(root, files, addition.needed):
        lines = [f"    {path}: {', '.join(names)}" for path, names in lacking.items()]
        raise GaiaflowError(
            "Your versions of these files lack names that the new ones import:\n"
            + "\n".join(lines)
            + "\nNothing was added. If you don't need your versions, delete them and try again:\n"
            f"    git rm {' '.join(differing(root, addition))}"
        )
    # First: even a half-written addition can be removed.
    records = _records(root)
    digests = {path: _digest(data) for path, data in files.items()}
    _write_records(root, {**records, title: {**records.get(title, {}), **digests}})
    written: list[Path] = []
    try:
        for path, data in files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                written.append(file)
                stream.write(data)
    except BaseException:
        _delete(root, written)
        _write_records(root, records)
        raise
    return list(files)


def remove(root: Path, title: str) -> Removed:
    """Remove what `add` has written, unless other files use it.

    Raises:
        GaiaflowError: it is not known on this computer, or what would go was changed; nothing was
            removed.
    """
    records = _records(root)
    if title not in records:
        known = "".join(f"\n    {each}" for each in records) or " nothing"
        raise GaiaflowError(
            f"`new` didn't create {title} on this computer. It created:{known}\n"
            "Remove other files yourself."
        )
    there = {path: root / path for path in records[title] if (root / path).is_file()}
    used = importing.used(root, there.values())
    gone = [path for path, file in there.items() if file not in used]
    changed = [path for path in gone if _digest(there[path].read_bytes()) != records[title][path]]
    if changed:
        has, them = ("has", "it") if len(changed) == 1 else ("have", "them")
        raise GaiaflowError(
            f"{_listed(changed)} {has} changed since `new` created {them}.\n"
            "Nothing was removed. To remove these files anyway:\n"
            f"    rm {' '.join(gone)}"
        )
    _delete(root, [root / path for path in gone])
    _write_records(root, {name: paths for name, paths in records.items() if name != title})
    return Removed(gone, [path for path in there if path not in gone])


def differing(root: Path, addition: Addition) -> list[str]:
    """The files of a project that differ from those that the addition would have added."""
    return [
        path
        for path, data in addition.needed.items()
        if data and (root / path).is_file() and _digest((root / path).read_bytes()) != _digest(data)
    ]


def known(root: Path) -> list[str]:
    """The titles of what `new` has made on this computer, such as "dag forest"."""
    return list(_records(root))


def _clashes(root: Path, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The modules and packages among new files that have the name of one in the project.

    Of `train.py` and `train/__init__.py`, Python imports the package.
    """
    for path in map(PurePosixPath, files):
        package, module = path.with_suffix(""), path.parent.with_suffix(".py")
        if path.name == "__init__.py" and (root / module).is_file():
            yield f"{path.parent}/", str(module)
        elif path.suffix == ".py" and any((root / package).rglob("*.py")):
            yield str(path), f"{package}/"


def _delete(root: Path, files: Iterable[Path]) -> None:
    """Delete files with what Python has compiled, and the folders that this leaves empty."""
    for file in files:
        file.unlink(missing_ok=True)
        cache = file.parent / "__pycache__"
        for compiled in cache.glob(f"{file.stem}.*.pyc"):
            compiled.unlink(missing_ok=True)
        for folder in (cache, *(root / each for each in file.relative_to(root).parents[:-1])):
            with contextlib.suppress(OSError):  # something else is in there
                folder.rmdir()


def _records(root: Path) -> dict[str, dict[str, str]]:
    """For each addition, the digests of its files."""
    path = StateFolder(root).additions
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise GaiaflowError(f"{path} can't be read. Delete it: `remove` then forgets.") from None


def _write_records(root: Path, records: Mapping[str, Mapping[str, str]]) -> None:
    path = StateFolder(root).additions
    path.parent.mkdir(exist_ok=True)
    envfile.write(path, json.dumps(records, indent=1) + "\n")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()  # git may convert line ends


def _listed(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{', '.join(paths[:-1])} and {paths[-1]}"
