"""Update `.env` for a release: renamed settings, then new ones; values never change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gaiaflow.project import envfile, settings
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.identity import Identity

from tasks.migrations.steps import Step


def update_env(path: Path, answers: Mapping[str, Any], steps: Iterable[Step] = ()) -> list[str]:
    """Rename and add settings for the release, with fresh secrets.

    Args:
        path: the `.env` file.
        answers: the project's answers; some settings repeat them.
        steps: the steps of migrations.

    Returns:
        One line per change, without values. Empty if `.env` is missing or can't be read: the
        project's commands report what is wrong with it.
    """
    if not path.is_file():
        return []
    try:
        text = before = path.read_bytes().decode("utf-8")
        said = []
        for step in steps:
            changed = step.settings(text)
            if changed != text:
                said.append(re.sub(r"^\w+\((.*)\)$", r"changed: \1", str(step)))
            text = changed
        if text != before and not _replace(path, before, text):
            return update_env(path, answers, steps)
        known = envfile.read(path)
    except (UnicodeDecodeError, GaiaflowError):
        return []
    end = "\r\n" if "\r\n" in text else "\n"
    lines = [] if not text or text.endswith("\n") else [""]
    identity = identity_of(answers)
    renamed = list(said)
    for setting in settings.SETTINGS:
        if setting.name in known:
            continue
        value = setting.value(identity)
        if setting.name.endswith("_PORT"):
            value = _free_port(_moved(value, known), known)
        known[setting.name] = value
        lines += ["", f"# {setting.about}", f"{setting.name}={value}"]
        said.append(f"added: {setting.name}")
    if lines and lines != [""] and not _replace(path, text, text + end.join(lines) + end):
        return [*renamed, *update_env(path, answers, steps)]
    return said


def _replace(path: Path, before: str, after: str) -> bool:
    """Write the file, unless it has just been changed."""
    if path.read_bytes() != before.encode():
        return False
    envfile.write(path, after)
    return True


def identity_of(answers: Mapping[str, Any]) -> Identity:
    """A project's identity from its answers; pyproject.toml may still have conflicts."""
    names = ("package_name", "environment_manager", "object_store")
    return Identity(*(str(answers[name]) for name in names))


def _moved(value: str, known: Mapping[str, str]) -> str:
    """The port, as far from its default as the project's first port is: they move together."""
    [first] = [setting for setting in settings.SETTINGS if setting.name == settings.PORTS[0]]
    here = known.get(first.name, "")
    if not here.isdigit():
        return value
    port = int(value) + int(here) - int(first.default)
    return str(port) if port in settings.PORT_RANGE else value


def _free_port(value: str, known: Mapping[str, str]) -> str:
    """The port, or the next one that no other setting takes."""
    taken = {
        port
        for name, text in known.items()
        if name.endswith("_PORT") and text.isdigit()
        for port in settings.ports_of(name, int(text))
    }
    port = int(value)
    while port in taken:
        port += 1
    return str(port)
