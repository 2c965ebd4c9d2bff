"""Merge what a project declares, in whatever files, into the template's pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.adoption import pixi, toml_layout
from tasks.adoption.declared import (
    ORIGINAL,
    TABLES,
    Declared,
    Merged,
    is_framework,
    is_requirement,
    requirement_name,
)
from tasks.adoption.versions import overlap, requires_python, specifier

# What a user's table for a tool needs from the template's.
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "ruff": {"extend-exclude": ["gaiaflow", "mlops_manager.py", "minikube_manager.py"]},
    "mypy": {},
    "pytest": {},
}


def combined(found: Iterable[Declared]) -> Declared:
    """Everything declared; where two files differ, the first wins and a note names the other."""
    whole = Declared("")
    for each in found:
        prefix = f"{each.source}: "
        whole.notes += [prefix + note for note in each.notes]
        for key, value in each.project.items():
            old = whole.project.get(key)
            if key in TABLES and isinstance(old, dict) and isinstance(value, Mapping):
                _add(old, value, whole.notes, f"{prefix}{key}")
            elif old is None:
                whole.project[key] = dict(value) if isinstance(value, Mapping) else value
            elif _plain(old) != _plain(value):
                whole.notes.append(f"{prefix}{key} = {value!r}: not used; {old!r} wins")
        _add_lines(whole.dependencies, each.dependencies, whole.notes, prefix)
        for group, lines in each.groups.items():
            _add_lines(whole.groups.setdefault(group, []), lines, whole.notes, f"{prefix}{group}: ")
        _add(whole.tools, each.tools, whole.notes, f"{prefix}tool")
        whole.build = whole.build or each.build
    return whole


def _plain(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _add(
    table: MutableMapping[str, Any], more: Mapping[str, Any], notes: list[str], what: str
) -> None:
    """Add missing values to nested tables."""
    for key, value in more.items():
        old = table.get(key)
        if isinstance(old, MutableMapping) and isinstance(value, Mapping):
            _add(old, value, notes, f"{what}.{key}")
        elif old is None:
            table[key] = value
        elif old != value:
            notes.append(f"{what}.{key} = {value!r}: not used; {old!r} wins")


def _add_lines(lines: list[Any], more: Sequence[Any], notes: list[str], prefix: str) -> None:
    """Add requirements for packages that no earlier file names."""
    known = {requirement_name(each): each for each in lines if isinstance(each, str)}
    for each in more:
        name = requirement_name(each) if isinstance(each, str) else ""
        if name not in known:
            lines.append(each)
        elif each not in lines and canonicalize_name(each) != name:
            notes.append(f"{prefix}{each}: not used; {known[name]!r} wins")


def merge(
    new: str,
    found: Iterable[Declared],
    as_made: Mapping[str, Container[str]] | None = None,
    configured: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    pinned: Mapping[str, str] | None = None,
) -> Merged:
    """The template's pyproject.toml with everything that the project declares.

    Args:
        new: as the template renders it.
        found: what is declared, the most important first.
        as_made: requirements that the original generated, by extra; "" means no extra.
        configured: tools with their own configuration file: tool -> file.
        facts: fields of [project] that apply unless the project declares them.
        pinned: versions that the project's environment.yml requires, by package.
    """
    document = toml_layout.parse(new)
    whole = combined(found)
    made_by_original = as_made or {}
    notes: list[str] = []
    project: Any = document["project"]
    template_name = str(project["name"])
    _metadata(project, {**(facts or {}), **whole.project}, notes)
    main = made_by_original.get("", ())
    pins = {**(pinned or {}), **pixi.pins(whole.tools.get("pixi", {}))}
    wanted = _without_framework(whole.dependencies, main, notes, "")
    _put(
        project,
        "dependencies",
        _requirements(_loosened(project["dependencies"], pins), wanted, main, notes),
    )
    for extra, lines in whole.project.get("optional-dependencies", {}).items():
        kept = _without_framework(lines, made_by_original.get(extra, ()), notes, f"[{extra}] ")
        _put(project["optional-dependencies"], extra, kept)
    groups: Any = document["dependency-groups"]
    for group, lines in whole.groups.items():
        kept = _without_framework(lines, (), notes, f"[{group}] ")
        _put(groups, group, _requirements(groups.get(group, []), kept, (), notes))
    _put(groups, "dev", _loosened(groups["dev"], pins))
    _tools(document, whole, notes)
    _configured(document["tool"], whole, configured or {}, notes)
    _builds(document, whole)
    if "pixi" in document["tool"] and project["name"] != template_name:
        _rename(document["tool"]["pixi"], template_name, str(project["name"]))
    said = [*whole.notes, *(f"pyproject.toml: {note}" for note in notes)]
    return Merged(toml_layout.dumps(document), list(dict.fromkeys(said)))


def _metadata(project: Any, ours: dict[str, Any], notes: list[str]) -> None:
    """Merge [project] without requirements; the user's values win."""
    for key, value in ours.items():
        if key == "requires-python":
            project[key], said = requires_python(str(value), str(project[key]))
            notes += said
        elif key == "description":
            project[key] = _plain(value)
        elif key == "classifiers":
            _put(
                project,
                key,
                [*value, *(each for each in project.get(key, []) if each not in value)],
            )
        elif key == "license":
            _license(project, value, "license-files" in ours)
        elif key == "dynamic":
            project[key] = value
            for each in value:
                project.pop(each, None)
        elif key in ("keywords", "authors", "maintainers", "license-files"):
            _put(project, key, value)
        elif key == "optional-dependencies":
            project[key] = tomlkit.table()
        elif key != "dependencies":
            project[key] = value


def _license(project: Any, value: Any, has_files: bool) -> None:
    """Write a license the current way: an expression, or files."""
    if isinstance(value, Mapping) and "file" in value:
        if not has_files:
            project["license-files"] = [value["file"]]
        return
    text = str(value.get("text", "")) if isinstance(value, Mapping) else str(value)
    try:
        project["license"] = str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        project["license"] = tomlkit.inline_table()
        project["license"]["text"] = text
        if not has_files:
            project.pop("license-files", None)


def _without_framework(
    lines: Iterable[Any], as_made: Container[str], notes: list[str], where: str
) -> list[Any]:
    """The requirements that pyproject.toml can contain, without the framework's."""
    kept = []
    for each in lines:
        if not isinstance(each, str):
            kept.append(each)
            continue
        name = requirement_name(each)
        if name in ORIGINAL and each in as_made:
            continue
        if is_framework(name):
            notes.append(f"{where}{each}: left out; the framework has it in a separate environment")
        elif is_requirement(each):
            kept.append(each)
        else:
            notes.append(f"{where}{each}: left out; pip can't read this requirement")
    return kept


def _requirements(
    template: Iterable[Any], wanted: Sequence[Any], as_made: Container[str], notes: list[str]
) -> list[Any]:
    """The template's requirements with the user's in their places, then the rest."""
    own: dict[str, list[str]] = {}
    for each in wanted:
        if isinstance(each, str):
            own.setdefault(requirement_name(each), []).append(each)
    made: list[Any] = []
    for each in map(str, template):
        name = requirement_name(each)
        lines = [line for line in own.get(name, []) if line not in as_made]
        if not lines or all(canonicalize_name(line) == name for line in lines):
            lines = [each]  # theirs allows any version
        elif not all(_agree(line, each) for line in lines):
            notes.append(f"{', '.join(lines)}: kept, but Gaiaflow was tested with {each}")
        own.pop(name, None)
        made += lines
    others = [each for each in wanted if not isinstance(each, str)]
    return [*made, *dict.fromkeys(line for lines in own.values() for line in lines), *others]


def _loosened(template: Iterable[Any], pins: Mapping[str, str]) -> list[Any]:
    """The template's requirements, without versions that conflict with the project's pins."""
    made = []
    for each in template:
        pin = pins.get(requirement_name(each)) if isinstance(each, str) else None
        allowed = specifier(pin) if pin else None
        fits = allowed is None or overlap(Requirement(each).specifier, allowed)
        made.append(each if fits else requirement_name(each))
    return made


def _agree(one: str, other: str) -> bool:
    first, second = Requirement(one), Requirement(other)
    return first.url is None and overlap(first.specifier, second.specifier)


def _configured(
    tool: Any, whole: Declared, configured: Mapping[str, str], notes: list[str]
) -> None:
    """Drop the template's table of a tool that has its own configuration file."""
    for name, file in configured.items():
        if name in tool and name not in whole.tools:
            needs = {"pytest": 'pythonpath = ".", for the tests of DAGs', "mypy": "files"}.get(name)
            notes.append(
                f"{file} configures {name} as before; the template's [tool.{name}] was left out"
                + (f". Add to it: {needs}" if needs else "")
            )
            del tool[name]


def _tools(document: Any, whole: Declared, notes: list[str]) -> None:
    """Use the user's tables of tools, with what Gaiaflow needs."""
    tool = document["tool"]
    for name, table in whole.tools.items():
        if name == "pixi" and "pixi" in tool:
            pixi.merge(tool["pixi"], table, str(document["project"]["name"]), notes)
        elif name == "pytest":
            _pytest(tool, table)
        elif name == "hatch":
            _hatch(tool["hatch"], table)
        else:
            template = tool.get(name, {})
            tool[name] = table
            for key, value in NEEDED.get(name, {}).items():
                known = list(table.get(key, []))
                tool[name][key] = [*known, *(each for each in value if each not in known)]
            if name == "mypy":
                _mypy(tool["mypy"], template)


def _mypy(table: Any, template: Any) -> None:
    """Tell mypy what to check; the framework is checked in its own repository."""
    if not {"files", "packages", "modules"} & set(table):
        table["files"] = list(template.get("files", []))
    ours = next(o for o in template.get("overrides", []) if o["module"] == "gaiaflow.*")
    overrides = tomlkit.aot()
    for each in [*table.get("overrides", []), ours]:
        overrides.append(tomlkit.item(each.unwrap() if hasattr(each, "unwrap") else each))
    table["overrides"] = overrides


def _pytest(tool: Any, table: Mapping[str, Any]) -> None:
    """Use the user's options; tests must find the framework and, in src/, the package."""
    options = dict(tool["pytest"]["ini_options"])
    tool["pytest"] = table
    target = tool["pytest"].get("ini_options")
    if target is None:
        target = tool["pytest"] if table else tool["pytest"].setdefault("ini_options", {})
    known = target.get("pythonpath", [])
    known = known.split() if isinstance(known, str) else list(known)
    target["pythonpath"] = [*known, *(each for each in options["pythonpath"] if each not in known)]
    if "testpaths" not in target:
        target["testpaths"] = list(options["testpaths"])


def _hatch(template: Any, table: Mapping[str, Any]) -> None:
    """Use hatchling's settings; the template lists packages only if the user doesn't."""
    build = table.get("build", {})
    says = {*build, *build.get("targets", {}).get("wheel", {})} & _CONTENTS
    if says:
        template["build"]["targets"]["wheel"].pop("packages")
    _overwrite(template, table)


_CONTENTS = {"packages", "include", "exclude", "only-include", "sources", "force-include"}


def _overwrite(table: Any, more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), MutableMapping):
            _overwrite(table[key], value)
        else:
            table[key] = value


def _builds(document: Any, whole: Declared) -> None:
    """Merge [build-system], and allow direct references if there are any."""
    if whole.build:
        document["build-system"].update(whole.build)
    project = document["project"]
    listed = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    if any(Requirement(str(each)).url for lines in listed for each in lines):
        hatch = document["tool"]["hatch"]
        hatch.setdefault("metadata", {})
        hatch["metadata"]["allow-direct-references"] = True


def _put(table: Any, key: str, values: Iterable[Any]) -> None:
    """Write a list with one value per line, as in the template."""
    values = [each.unwrap() if hasattr(each, "unwrap") else each for each in values]
    if key in table and table[key] == values:
        return
    made = tomlkit.array()
    for each in values:
        made.append(_inline(each))
    table[key] = made.multiline(len(values) > 0)


def _inline(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = tomlkit.inline_table()
    made.update(value)
    return made


def _rename(table: Any, old: str, new: str) -> None:
    """Rename the project among its own packages."""
    packages = table["feature"]["project"]["pypi-dependencies"]
    if old in packages:
        packages[new] = packages.pop(old)


def requirements_of(pyproject: str) -> Callable[[str], list[str]]:
    """A function that returns a pyproject.toml's requirements for a package."""
    parsed = tomlkit.parse(pyproject).unwrap()
    declared = parsed.get("project", {})
    lists = [
        declared.get("dependencies", []),
        *declared.get("optional-dependencies", {}).values(),
        *parsed.get("dependency-groups", {}).values(),
    ]
    named: dict[str, list[str]] = {}
    for each in (each for lines in lists for each in lines if isinstance(each, str)):
        named.setdefault(requirement_name(each), []).append(each)
    pixi_tables = parsed.get("tool", {}).get("pixi", {})
    for key in ("dependencies", "pypi-dependencies"):
        for name, version in pixi_tables.get(key, {}).items():
            named.setdefault(canonicalize_name(name), []).append(f"{name}{version}")
    return lambda name: named.get(name, [])
