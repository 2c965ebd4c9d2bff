"""[tool.poetry]: metadata and dependencies as Poetry writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from tasks.adoption.declared import Declared, is_requirement, leaves, person, with_marker

_SAME = ("name", "version", "description", "readme", "keywords", "classifiers", "license")
_URLS = {"homepage": "Homepage", "repository": "Repository", "documentation": "Documentation"}
_PEOPLE = ("authors", "maintainers")
_USED = {*_SAME, *_URLS, *_PEOPLE, "urls", "scripts", "plugins", "extras", "dependencies"}


def read(table: Mapping[str, Any]) -> Declared:
    """What the table declares; the notes name what has no counterpart."""
    made = Declared("pyproject.toml [tool.poetry]")
    made.project.update({key: table[key] for key in _SAME if table.get(key)})
    if isinstance(made.project.get("readme"), list):
        first, *others = made.project["readme"]
        made.project["readme"] = first
        made.notes += [f"readme {each}: pyproject.toml allows only one file" for each in others]
    for key in _PEOPLE:
        if table.get(key):
            made.project[key] = [person(each) for each in table[key]]
    urls = {new: table[key] for key, new in _URLS.items() if key in table} | table.get("urls", {})
    if urls:
        made.project["urls"] = dict(urls)
    _scripts(made, table.get("scripts", {}))
    made.entry_points(table.get("plugins", {}))
    _dependencies(made, table)
    groups = dict(table.get("group", {}))
    if "dev-dependencies" in table:
        groups.setdefault("dev", {}).setdefault("dependencies", {}).update(
            table["dev-dependencies"]
        )
    for name, group in groups.items():
        lines = made.groups.setdefault(name, [])
        lines += requirements(made, group.get("dependencies", {}))
        lines += [{"include-group": each} for each in group.get("include-groups", [])]
        if name != "dev" and not group.get("optional") and not group.get("include-groups"):
            developing = made.groups.setdefault("dev", [])  # what is installed by default
            developing.append({"include-group": name})
    left = {
        key: value
        for key, value in table.items()
        if key not in {*_USED, "group", "dev-dependencies"}
    }
    for path, value in leaves(left):
        if path != ("package-mode",):
            made.notes.append(f"{'.'.join(path)} = {value!r} was not carried over")
    return made


def _scripts(made: Declared, scripts: Mapping[str, Any]) -> None:
    for name, target in scripts.items():
        if isinstance(target, str):
            made.project.setdefault("scripts", {})[name] = target
        elif target.get("type", "console") == "console" and "reference" in target:
            made.project.setdefault("scripts", {})[name] = target["reference"]
        else:
            made.notes.append(f"the script {name} = {target!r} was not carried over")


def _dependencies(made: Declared, table: Mapping[str, Any]) -> None:
    extras = {name: list(packages) for name, packages in table.get("extras", {}).items()}
    optional = {each.lower() for packages in extras.values() for each in packages}
    lines: dict[str, list[str]] = {}
    for package, wanted in table.get("dependencies", {}).items():
        if package == "python":
            made.project["requires-python"] = specifier(wanted)
            continue
        lines[package.lower()] = _requirements(made, package, wanted)
        is_optional = isinstance(wanted, Mapping) and wanted.get("optional")
        if not is_optional:
            made.dependencies += lines[package.lower()]
        elif package.lower() not in optional:
            made.notes.append(f"{package} was not carried over: it is optional, but in no extra")
    for name, packages in extras.items():
        made.project.setdefault("optional-dependencies", {})[name] = [
            line for each in packages for line in lines.get(each.lower(), [each])
        ]


def requirements(made: Declared, packages: Mapping[str, Any]) -> list[str]:
    """The lines for packages; the notes name what pip can't express."""
    return [line for name, each in packages.items() for line in _requirements(made, name, each)]


def _requirements(made: Declared, package: str, wanted: Any) -> list[str]:
    """The lines of one dependency, which may be a list for several environments."""
    found = []
    for each in wanted if isinstance(wanted, list) else [wanted]:
        try:
            line = _requirement(made, package, {"version": each} if isinstance(each, str) else each)
        except (InvalidVersion, ValueError):
            line = ""
        if is_requirement(line):
            found.append(line)
        else:
            made.notes.append(f"{package} = {each!r}: add it to pyproject.toml yourself")
    return found


def _requirement(made: Declared, package: str, wanted: Mapping[str, Any]) -> str:
    known = {"version", "extras", "markers", "python", "git", "branch", "tag", "rev", "url"}
    known |= {"subdirectory", "path", "develop", "optional", "platform"}
    for key in wanted.keys() - known:
        made.notes.append(f"{package}: {key} = {wanted[key]!r} was not carried over")
    extras = f"[{','.join(wanted['extras'])}]" if wanted.get("extras") else ""
    markers = [
        *([wanted["markers"]] if "markers" in wanted else []),
        *([f"sys_platform == '{wanted['platform']}'"] if "platform" in wanted else []),
        *(_python_marker(specifier(wanted["python"])) if "python" in wanted else []),
    ]
    marker = " and ".join(f"({each})" if " or " in each else each for each in markers)
    name = f"{package}{extras}"
    if "path" in wanted:
        source = {"path": wanted["path"], **({"editable": True} if wanted.get("develop") else {})}
        made.tools.setdefault("uv", {}).setdefault("sources", {})[package] = source
        return with_marker(name, marker)
    if "git" in wanted:
        ref = next((wanted[key] for key in ("rev", "tag", "branch") if key in wanted), "")
        sub = f"#subdirectory={wanted['subdirectory']}" if "subdirectory" in wanted else ""
        url = (
            f"git+{wanted['git']}"
            if "://" in wanted["git"]
            else f"git+ssh://{wanted['git'].replace(':', '/')}"
        )
        line = f"{name} @ {url}{ref and f'@{ref}'}{sub}"
        return with_marker(f"{line} " if marker else line, "") + (f"; {marker}" if marker else "")
    if "url" in wanted:
        return f"{name} @ {wanted['url']}" + (f" ; {marker}" if marker else "")
    return with_marker(f"{name}{specifier(wanted.get('version', '*'))}", marker)


def specifier(text: str) -> str:
    """Translate a version constraint from Poetry to pip.

    Raises:
        ValueError: it contains "or", which pip can't express.
    """
    if "||" in text or re.search(r"\d\s*\|\s*", text):
        raise ValueError(text)
    return ",".join(
        part for each in re.split(r"\s*,\s*|\s+(?=[<>=!^~])", text) for part in _one(each)
    )


def _one(text: str) -> Iterator[str]:
    text = text.strip()
    sign, number = re.match(r"(\^|~(?!=)|[<>=!~]*)\s*(.*)", text).groups()  # type: ignore[union-attr]
    if number in ("", "*"):
        return
    if sign in ("^", "~"):
        release = Version(number).release
        if sign == "~":
            at = 0 if len(release) == 1 else 1
        else:
            at = next((i for i, part in enumerate(release) if part), len(release) - 1)
        upper = ".".join(map(str, (*release[:at], release[at] + 1)))
        yield f">={number}"
        yield f"<{upper}"
    else:
        yield f"{'==' if sign in ('', '=') else sign}{number}"


def _python_marker(constraint: str) -> Iterator[str]:
    for part in filter(None, constraint.split(",")):
        sign, number = re.match(r"([<>=!~]+)(.*)", part).groups()  # type: ignore[union-attr]
        name = (
            "python_version"
            if number.count(".") < 2 or number.endswith(".*")
            else "python_full_version"
        )
        yield f"{name} {sign} '{number}'"
