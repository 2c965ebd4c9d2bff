"""The words that can follow in a command line."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from plumbum import cli

from gaiaflow.completion.known import Known

# What the arguments of commands name, in their order.
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "logs": ("services",),
    "open": ("pages",),
    "run": ("dags",),
    "call": ("functions",),
    "new": ("kinds", "examples"),
    "remove": ("kinds", "additions"),
    "ls": ("keys",),
    "get": ("keys",),
    "put": ("", "keys"),
    "models": ("models",),
    "promote": ("models", "versions"),
    "rollback": ("models",),
    "lineage": ("models",),
    "completion": ("shells",),
}
# What the values of options name.
_OPTIONS = {"--service": "services", "--from": "tasks"}


def complete(line: str, manager: type[cli.Application], known: Known) -> list[str]:
    """The words that can stand at the end of a command line, in place of its last one.

    None are known for files: the shell completes those.

    Args:
        line: up to the cursor, such as "python3 mlops_manager.py run land".
    """
    *before, partial = _split(line)
    if not before:
        return _starting(partial, [*manager("")._subcommands, *_options(manager(""))])
    command, *rest = before
    found = manager("")._subcommands.get(command)
    if found is None:
        return []
    app = found.get()(command)
    arguments, waiting = _read(app, rest)
    option, sign, _ = partial.partition("=")
    if waiting:
        return _starting(partial, _values(app, waiting, known, arguments))
    if sign and option.startswith("--"):
        values = _values(app, option, known, arguments)
        return _starting(partial, [f"{option}={value}" for value in values])
    if partial.startswith("-"):
        return _starting(partial, _options(app))
    kinds = _ARGUMENTS.get(command, ())
    if command == "call" and arguments:
        return _starting(partial, known.parameters(arguments[0]))
    kind = kinds[len(arguments)] if len(arguments) < len(kinds) else ""
    return _starting(partial, known.of(kind, partial, arguments))


def _split(line: str) -> list[str]:
    """The words after the manager; the last is the one to complete, perhaps empty."""
    text = line.partition("_manager.py")[2]
    for quote in ("", '"', "'"):  # one may be open
        with contextlib.suppress(ValueError):
            *before, last = shlex.split(f"{text}|{quote}")  # a word ends at the cursor
            return [*before, last[:-1]]
    return [""]


def _read(app: cli.Application, words: Iterable[str]) -> tuple[list[str], str]:
    """The arguments among words, and the option whose value comes next, if any."""
    arguments: list[str] = []
    waiting = ""
    for word in words:
        if waiting:
            waiting = ""
        elif word.startswith("-"):
            waiting = word if "=" not in word and _takes_value(app, word) else ""
        else:
            arguments.append(word)
    return arguments, waiting


def _switch(app: cli.Application, option: str) -> Any:
    return app._switches_by_name.get(option.lstrip("-"))


def _takes_value(app: cli.Application, option: str) -> bool:
    switch = _switch(app, option)
    return switch is not None and switch.argtype is not None


def _values(app: cli.Application, option: str, known: Known, arguments: list[str]) -> list[str]:
    if option in _OPTIONS:
        return known.of(_OPTIONS[option], "", arguments)
    switch = _switch(app, option)
    choices = getattr(switch.argtype, "choices", None) if switch else None
    return sorted(choices("")) if choices else []


def _options(app: cli.Application) -> list[str]:
    """Its long options, without those of all programs."""
    names = [name for name in app._switches_by_name if len(name) > 1]
    return [f"--{name}" for name in names if name not in ("help-all", "version")]


def _starting(partial: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(partial)]
