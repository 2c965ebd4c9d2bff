"""setup.cfg and setup.py: metadata and dependencies for setuptools. Their code never runs."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from typing import Any

import libcst as cst

from tasks.adoption import python_code
from tasks.adoption.declared import Declared, is_requirement, people, with_marker, words
from tasks.adoption.requirements import requirements_in

File = Callable[[str], str | None]  # returns the text of a project's file, if it exists

# Arguments of setup() that say how the package is built: hatchling includes all files.
_BUILD = ("packages", "package_dir", "include_package_data", "zip_safe")
_SAME = ("name", "version", "description", "license")


def read_setup(text: str, file: File) -> Declared:
    """What setup.py passes to setup()."""
    made = Declared("setup.py")
    module = python_code.parse(text)
    calls: list[cst.Call] = []

    class Finder(cst.CSTVisitor):
        def visit_Call(self, node: cst.Call) -> None:
            if python_code.source_of(node.func).rpartition(".")[2] == "setup":
                calls.append(node)

    if module:
        module.visit(Finder())
    if module is None or len(calls) != 1:
        made.notes.append("can't be read without running it: check what it declares")
        return made
    names = python_code.constants(module)
    arguments: dict[str, Any] = {}
    for argument in calls[0].args:
        try:
            value = python_code.literal(argument.value, names)
        except python_code.NotLiteral:
            source = python_code.source_of(argument.value)
            name = argument.keyword.value if argument.keyword else argument.star
            if name not in (*_BUILD, "long_description"):
                made.notes.append(f"{name} can't be read without running it: {source[:200]}")
            continue
        if argument.keyword:
            arguments[argument.keyword.value] = value
        elif argument.star == "**" and isinstance(value, Mapping):
            arguments.update(value)
    _take(made, arguments, file)
    return made


def read_cfg(text: str, file: File) -> Declared:
    """What setup.cfg says in [metadata] and [options]; other tools' sections stay valid."""
    made = Declared("setup.cfg")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        made.notes.append(f"can't be read: {str(error).splitlines()[0]}")
        return made
    section: dict[str, dict[str, str]] = {
        name: dict(parser[name])
        for name in parser.sections()
        if name.partition(".")[0] in _SECTIONS
    }
    arguments: dict[str, Any] = {}
    for key, value in {**section.pop("metadata", {}), **section.pop("options", {})}.items():
        name = _ALIASES.get(key.replace("-", "_"), key.replace("-", "_"))
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if name in ("install_requires", "tests_require", "setup_requires"):
            arguments[name] = requirement_lines(value)
        elif name == "project_urls":
            arguments[name] = dict(_pair(line) for line in lines)
        elif name in ("classifiers", "license_files"):
            path = value.strip().removeprefix("file:").strip()
            text_of = file(path) if value.strip().startswith("file:") else None
            arguments[name] = (text_of or "").splitlines() if text_of else _list(value)
        elif name == "keywords":
            arguments[name] = _list(value)
        else:
            arguments[name] = value.strip()
    extras = section.pop("options.extras_require", {})
    if extras:
        arguments["extras_require"] = {
            name: requirement_lines(each) for name, each in extras.items()
        }
    points = section.pop("options.entry_points", {})
    if points:
        arguments["entry_points"] = {name: each.splitlines() for name, each in points.items()}
    for name, options in section.items():
        arguments[name] = "; ".join(
            f"{key} = {' '.join(each.split())}" for key, each in options.items()
        )
    _take(made, arguments, file)
    return made


_SECTIONS = ("metadata", "options")
_ALIASES = {
    "home_page": "url",
    "classifier": "classifiers",
    "author_mail": "author_email",
    "license_file": "license_files",
    "summary": "description",
    "requires_python": "python_requires",
}


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip(), value.strip()


def _list(value: str) -> list[str]:
    parts = value.splitlines() if "\n" in value else value.split(",")
    return [part.strip() for part in parts if part.strip()]


def requirement_lines(value: str) -> list[str]:
    """Requirements in a text: one per line, or separated by semicolons."""
    if "\n" in value.strip():
        return [line.strip() for line in value.splitlines() if line.strip()]
    return (
        [value.strip()]
        if is_requirement(value.strip())
        else [each.strip() for each in value.split(";") if each.strip()]
    )


def _take(made: Declared, arguments: dict[str, Any], file: File) -> None:
    """Translate the arguments of setup(), which setup.cfg also has."""
    values = {name: value for name, value in arguments.items() if value not in (None, "", [], {})}
    take = values.pop
    project = made.project
    for name in _SAME:
        value = take(name, None)
        if isinstance(value, str) and value.startswith(("attr:", "file:")):
            made.notes += _dynamic(project, name, value, file)
        elif value is not None:
            project[name] = " ".join(str(value).split())
    for one in ("author", "maintainer"):
        names, emails = take(one, ""), take(f"{one}_email", "")
        if names or emails:
            project[f"{one}s"] = people(names, emails)
    urls = {"Homepage": take("url", ""), "Download": take("download_url", "")}
    if urls := {name: url for name, url in urls.items() if url} | take("project_urls", {}):
        project["urls"] = urls
    if "classifiers" in values:
        classifiers = take("classifiers")
        project["classifiers"] = _list(classifiers) if isinstance(classifiers, str) else classifiers
    if "keywords" in values:
        project["keywords"] = words(take("keywords"))
    if "license_files" in values:
        project["license-files"] = words(take("license_files"))
    if "python_requires" in values:
        project["requires-python"] = take("python_requires")
    _readme(made, take("long_description", ""), take("long_description_content_type", ""))
    _requirements(made, values)
    points = take("entry_points", {})
    if isinstance(points, str):
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(points)
        points = {
            name: [f"{key} = {value}" for key, value in parser[name].items()]
            for name in parser.sections()
        }
    made.entry_points(
        {
            group: dict(
                _pair(line)
                for line in (lines.splitlines() if isinstance(lines, str) else lines)
                if line.strip()
            )
            for group, lines in points.items()
        }
    )
    made.notes += [
        f"{name} was not carried over: {value}"
        for name, value in values.items()
        if name not in _BUILD
    ]


def _readme(made: Declared, text: str, kind: str) -> None:
    """Use a readme file; a text in setup.py is usually in the README too."""
    if text.startswith("file:"):
        path, *others = [each.strip() for each in text.removeprefix("file:").split(",")]
        made.project["readme"] = {"file": path, "content-type": kind} if kind else path
        made.notes += [f"readme {each}: pyproject.toml allows only one file" for each in others]
    elif text:
        made.notes.append("long_description is now the README, not a separate text")


def _requirements(made: Declared, values: dict[str, Any]) -> None:
    lines = values.pop("install_requires", [])
    lines = requirement_lines(lines) if isinstance(lines, str) else lines
    made.dependencies += _known(made, lines)
    for name, wanted in values.pop("extras_require", {}).items():
        extra, _, marker = name.partition(":")
        listed = requirement_lines(wanted) if isinstance(wanted, str) else wanted
        marked = [with_marker(line, marker.strip()) for line in _known(made, listed)]
        if extra:
            optional = made.project.setdefault("optional-dependencies", {})
            optional.setdefault(extra, []).extend(marked)
        else:
            made.dependencies += marked
    tests = values.pop("tests_require", [])
    if tests:
        tests = requirement_lines(tests) if isinstance(tests, str) else tests
        made.groups["test"] = _known(made, tests)


def _known(made: Declared, lines: list[str]) -> list[str]:
    found = requirements_in("\n".join(lines))
    made.notes += found.notes
    return found.dependencies


def _dynamic(project: dict[str, Any], name: str, value: str, file: File) -> list[str]:
    """Read a value from a module or a file, if it is literal."""
    kind, _, where = value.partition(":")
    where = where.strip()
    if kind == "file":
        text = file(where)
        if text is not None:
            project[name] = " ".join(text.split())
            return [f"{name} is no longer read from {where}: it is in pyproject.toml"]
    elif (found := version_in(where, file)) is not None:
        path, number = found
        project[name] = number
        return [f"{name} is no longer read from {path}: it is in pyproject.toml"]
    return [f"{name} = {value} can't be read: add it to pyproject.toml"]


def version_in(attribute: str, file: File) -> tuple[str, str] | None:
    """The file and the value of `package.module.name`, if it is a literal text."""
    module, _, name = attribute.rpartition(".")
    base = module.replace(".", "/")
    for path in (f"{base}.py", f"{base}/__init__.py", f"src/{base}.py", f"src/{base}/__init__.py"):
        text = file(path)
        parsed = python_code.parse(text) if text is not None else None
        if parsed:
            value = python_code.constants(parsed).get(name)
            return (path, value) if isinstance(value, str) else None
    return None
