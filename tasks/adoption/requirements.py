"""requirements*.txt: what pip installs. Only pip's options have no place in pyproject.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from tasks.adoption.declared import Declared, is_requirement

PATTERNS = (
    "requirements*.txt",
    "requirements*.in",
    "*requirements.txt",
    "requirements/*.txt",
    "requirements/*.in",
)
_MAIN = {
    "",
    "base",
    "main",
    "prod",
    "production",
    "common",
    "core",
    "default",
    "install",
    "runtime",
}
_ITSELF = {".", "./", "-e .", "-e ./", "--editable ."}


def requirements_in(text: str, source: str = "") -> Declared:
    """The requirements in one file; the notes name all other lines."""
    made = Declared(source)
    if "--hash" in text:
        made.notes.append("the hashes were not carried over: a lock file has its own")
    for each in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", each).strip()
        if not line or line in _ITSELF or line.startswith("--hash"):
            continue
        requirement, *options = re.split(r"\s+(?=--?[a-z])", line)
        if not is_requirement(requirement):
            requirement = _from_url(line) or requirement
            options = []
        if not is_requirement(requirement):
            made.notes.append(f"not carried over: {line}")
            continue
        made.dependencies.append(requirement)
        others = [option for option in options if not option.startswith("--hash")]
        made.notes += [f"not carried over: {option} of {requirement}" for option in others]
    return made


def _from_url(line: str) -> str:
    """A requirement for a URL that names its package, such as `git+https://...#egg=name`."""
    line = re.sub(r"^(-e|--editable)\s+", "", line)
    url, _, marker = line.partition(" ;")
    fragment = dict(re.findall(r"([\w-]+)=([^&]+)", urlsplit(url).fragment)) if "://" in url else {}
    name = fragment.pop("egg", "")
    if not name and (wheel := re.fullmatch(r"https?://\S+/([\w.]+)-[^/]+\.whl(#\S*)?", url)):
        name = unquote(wheel[1])
        return f"{name} @ {url}" + (f" ;{marker}" if marker else "")
    if not name:
        return ""
    rest = "&".join(f"{key}={value}" for key, value in fragment.items())
    return f"{name} @ {url.partition('#')[0]}{rest and f'#{rest}'}" + (
        f" ;{marker}" if marker else ""
    )


def read(files: Mapping[str, str]) -> list[Declared]:
    """What the files declare: dependencies, and groups for files named `dev`, `test` ..."""
    sources = {path for path in files if path.endswith(".in")}
    found = []
    for path, text in sorted(files.items()):
        if path.endswith(".txt") and f"{path[:-4]}.in" in sources:
            note = f"its exact versions were not carried over: {path[:-4]}.in has the requirements"
            found.append(Declared(path, notes=[note]))
            continue
        made = requirements_in(text, path)
        group = group_of(path)
        included = [
            include[1]
            for line in text.splitlines()
            if (include := re.match(r"(?:-r|--requirement)[ =]?\s*([^\s#]+)", line))
        ]
        for each in included:
            where = _joined(path, each)
            if where in files:
                made.notes = [
                    note for note in made.notes if not re.search(rf" {re.escape(each)}$", note)
                ]
                if group and (other := group_of(where)):
                    made.groups.setdefault(group, []).append({"include-group": other})
                elif not group and (other := group_of(where)):
                    made.notes.append(f"{path} includes {where}, which is now the group {other}")
        if group:
            made.groups.setdefault(group, []).extend(made.dependencies)
            made.dependencies = []
        found.append(made)
    return found


def _joined(path: str, other: str) -> str:
    parts: list[str] = list(PurePosixPath(path).parent.parts)
    for part in PurePosixPath(other).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def group_of(path: str) -> str:
    """A file's dependency group; "" for the project's own dependencies."""
    name = PurePosixPath(path).stem
    if PurePosixPath(path).parent.name != "requirements":
        name = re.sub(r"^requirements|requirements$", "", name)
    name = name.strip("-_. ").lower()
    return "" if name in _MAIN else re.sub(r"[^a-z0-9]+", "-", name)
