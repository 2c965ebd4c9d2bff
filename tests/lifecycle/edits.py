"""Random edits of a project, of every kind that users make; each is a small, shrinkable value."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.lifecycle.conftest import git

# Where users edit: by class, and in the made-up files, which a release changes most.
AREAS = {
    "framework": ["gaiaflow", "mlops_manager.py", ".env.example"],
    "made up": ["gaiaflow/made_up", ".github/workflows"],
    "changed": [
        "gaiaflow/project/errors.py",
        "gaiaflow/project/stamps.py",
        "gaiaflow/project/settings.py",
    ],
    "shared": ["pyproject.toml", ".gitignore", ".github"],
    "user": ["dags", "notebooks", "tests", "data", "README.md", "CHANGES.md", "forest_watch"],
}


@dataclass(frozen=True)
class Edit:
    """One edit: its kind, area, file in the area, line and token."""

    kind: str
    area: str
    file: int
    line: int
    token: int

    def apply(self, project: Path) -> None:
        """Apply the edit, if there is a file for it."""
        files = [
            path
            for part in AREAS[self.area]
            for path in (sorted((project / part).rglob("*")) if (project / part).is_dir() else [])
            + ([project / part] if (project / part).is_file() else [])
            if path.is_file() and "__pycache__" not in path.parts
        ]
        if files:
            path = files[self.file % len(files)]
            if path.name != ".copier-answers.yml":
                KINDS[self.kind](project, path, self)

    @property
    def text(self) -> bytes:
        """A line that only this edit writes."""
        return b"# user line %d" % self.token


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _edit_lines(change: Callable[[list[bytes], int, Edit], Any]) -> Callable[..., None]:
    def apply(project: Path, path: Path, edit: Edit) -> None:
        if path.is_symlink():
            return
        lines = _lines(path)
        change(lines, edit.line % (len(lines) + 1), edit)
        path.write_bytes(b"".join(lines))

    return apply


def _insert(lines: list[bytes], at: int, edit: Edit) -> None:
    if at and not lines[at - 1].endswith(b"\n"):
        lines[at - 1] += b"\n"
    lines.insert(at, edit.text + b"\n")


def _change(lines: list[bytes], at: int, edit: Edit) -> None:
    if at < len(lines):
        lines[at] = edit.text + b"\n"


def _remove(lines: list[bytes], at: int, edit: Edit) -> None:
    del lines[at : at + 1 + edit.token % 5]


def _move_lines(lines: list[bytes], at: int, edit: Edit) -> None:
    moved = lines[at : at + 3]
    del lines[at : at + 3]
    if moved and not moved[-1].endswith(b"\n"):
        moved[-1] += b"\n"
    to = edit.token % (len(lines) + 1)
    if to and not lines[to - 1].endswith(b"\n"):
        lines[to - 1] += b"\n"
    lines[to:to] = [edit.text + b"\n", *moved]


def _latin(lines: list[bytes], at: int, edit: Edit) -> None:
    _insert(lines, at, edit)
    lines[at] = edit.text + " Größe\n".encode("latin-1")


def _write(data: Callable[[Path, Edit], bytes]) -> Callable[..., None]:
    def apply(project: Path, path: Path, edit: Edit) -> None:
        if not path.is_symlink():
            path.write_bytes(data(path, edit))

    return apply


def _delete(project: Path, path: Path, edit: Edit) -> None:
    path.unlink()


def _delete_folder(project: Path, path: Path, edit: Edit) -> None:
    if path.parent != project:
        for sibling in sorted(path.parent.iterdir()):
            if sibling.is_file() or sibling.is_symlink():
                sibling.unlink()


def _rename(project: Path, path: Path, edit: Edit) -> None:
    path.rename(path.with_name(f"renamed_{edit.token}_{path.name}"))


def _move_away(project: Path, path: Path, edit: Edit) -> None:
    target = project / "forest_watch" / f"moved_{edit.token}" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _flip_mode(project: Path, path: Path, edit: Edit) -> None:
    if not path.is_symlink():
        path.chmod(path.stat().st_mode ^ 0o111)


def _link(project: Path, path: Path, edit: Edit) -> None:
    path.unlink()
    path.symlink_to(f"elsewhere_{edit.token}")


def _ignore(project: Path, path: Path, edit: Edit) -> None:
    """The user keeps one of our files out of git, with changes."""
    name = path.relative_to(project).as_posix()
    ignore = project / ".gitignore"
    if ignore.is_symlink() or name == ".gitignore":
        return
    ignore.write_bytes((ignore.read_bytes() if ignore.exists() else b"") + f"\n/{name}\n".encode())
    if not path.is_symlink():
        path.write_bytes(path.read_bytes() + b"\n" + edit.text + b"\n")
    git(project, "rm", "--quiet", "--cached", "--ignore-unmatch", "--", name)


def _add(name: str, data: Callable[[Edit], bytes]) -> Callable[..., None]:
    def apply(project: Path, path: Path, edit: Edit) -> None:
        target = path.parent / name.format(edit.token)
        if not target.exists() and not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data(edit))

    return apply


LONG = "/".join("a_folder_with_a_long_name_" + letter * 20 for letter in "abcd") + "/file_{}.py"

KINDS: dict[str, Callable[[Path, Path, Edit], None]] = {
    "insert a line": _edit_lines(_insert),
    "change a line": _edit_lines(_change),
    "remove lines": _edit_lines(_remove),
    "move lines": _edit_lines(_move_lines),
    "insert Latin-1": _edit_lines(_latin),
    "take the last newline": _write(lambda path, edit: path.read_bytes().rstrip(b"\r\n")),
    "end without newline": _write(lambda path, edit: path.read_bytes() + edit.text),
    "to CRLF": _write(
        lambda path, edit: path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    ),
    "CRLF and a line": _write(
        lambda path, edit: (
            (path.read_bytes() + b"\n" + edit.text + b"\n")
            .replace(b"\r\n", b"\n")
            .replace(b"\n", b"\r\n")
        )
    ),
    "binary": _write(lambda path, edit: b"\0\xff%d" % edit.token),
    "binary at the end": _write(lambda path, edit: path.read_bytes() + b"\0\xff%d" % edit.token),
    "rewrite": _write(lambda path, edit: edit.text + b"\n" + edit.text + b" again\n"),
    "empty": _write(lambda path, edit: b""),
    "delete": _delete,
    "delete the folder's files": _delete_folder,
    "rename": _rename,
    "move away": _move_away,
    "flip the executable bit": _flip_mode,
    "replace by a link": _link,
    "ignore": _ignore,
    "add": _add("added_{}.py", lambda edit: edit.text + b"\n"),
    "add with spaces": _add("mit Leerzeichen und Ümlaut {}.txt", lambda edit: edit.text),
    "add empty": _add("empty_{}.txt", lambda edit: b""),
    "add binary": _add("picture_{}.png", lambda edit: b"\x89PNG\0%d" % edit.token),
    "add a long path": _add(LONG, lambda edit: edit.text + b"\n"),
    "add what the release adds": _add("new.sh", lambda edit: edit.text + b"\n"),
    "add where the release moves to": _add("one.py", lambda edit: edit.text + b"\n"),
}

edits = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(sorted(KINDS)),
        area=st.sampled_from(sorted(AREAS)),
        file=st.integers(0, 60),
        line=st.integers(0, 200),
        token=st.integers(1, 10**6),
    ),
    max_size=8,
)

SEED = int(os.environ.get("GAIAFLOW_SEED", "0"))

# A few of all combinations, chosen by the seed: generating a project costs more than a case.
CHOICES: dict[str, list[Any]] = {
    "project_name": ["Forest Watch", "Wälder: \"nah\" & 'fern'"],
    "package_name": ["forest_watch"],
    "environment_manager": ["uv", "pixi", "conda"],
    "show_examples": [True, False],
    "example": ["landcover", "segmentation"],
    "license": ["MIT", "proprietary"],
    "object_store": ["seaweedfs", "rustfs"],
    "ci": ["github", "gitlab", "none"],
    "deploy": ["none", "kubernetes"],
}
COMBINATIONS = [
    dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())
]
answers = st.sampled_from(random.Random(SEED).sample(COMBINATIONS, 5))

# Values that users set in .env, next to their own settings.
env_values = st.dictionaries(
    st.sampled_from(["AIRFLOW_PORT", "AIRFLOW_USER", "S3_BUCKET", "MY_TOKEN"]),
    st.sampled_from(["9090", "9191"]),
    max_size=3,
)
