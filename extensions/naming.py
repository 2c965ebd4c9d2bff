"""Derive package names from project names, and validate them.

A valid package name can be imported anywhere in the project without hiding something else:
Python itself, a dependency of the project or the framework, or a folder of the project.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension

LOCKS = Path(__file__).resolve().parents[1] / "template" / "gaiaflow" / "locks"

MAX_LENGTH = 40
FALLBACK = "my_project"
PATTERN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

# Letters that Unicode does not decompose into a base letter and a mark.
LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)

# Standard library modules that only some versions from Python 3.10 to 3.14 have.
CHANGED_STDLIB = frozenset(
    """
    aifc annotationlib asynchat asyncore audioop binhex cgi cgitb chunk compression concurrent
    crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev pathlib pipes smtpd
    sndhdr spwd sunau telnetlib tomllib uu xdrlib
    """.split()
)

# Folders and modules of a generated project, and names reserved for future ones.
PROJECT_NAMES = frozenset(
    """
    build dags data dist docker docker_config dockerfiles docs env gaiaflow kube_config_inline
    minikube_manager mlops_manager mlruns notebooks site src tasks test tests utils venv
    """.split()
)

# Import names that differ from their distribution names in the lock files.
IMPORT_NAMES = frozenset(
    """
    airflow attr bs4 dateutil docker dotenv git google jose jupyter jwt kubernetes markdown
    opentelemetry pil pip pkg_resources setuptools sklearn skimage weed yaml zmq
    """.split()
)


@lru_cache(maxsize=1)
def dependency_names() -> frozenset[str]:
    """Import names that the project's or the framework's dependencies may use."""
    found = set(IMPORT_NAMES)
    for lock in sorted(LOCKS.glob("*.txt")):
        for match in re.finditer(r"(?m)^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8")):
            found.add(re.sub(r"[-.]+", "_", match[1]).lower())
    return frozenset(found)


def reserved_reason(name: str) -> str | None:
    """Return why a well-formed name is reserved, or None if it is free."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "is a Python keyword"
    if name in sys.stdlib_module_names or name in CHANGED_STDLIB:
        return "would hide a module of Python's standard library"
    if hasattr(builtins, name):
        return "is a Python built-in"
    if name in PROJECT_NAMES:
        return "is the name of a folder or module in every project"
    if name in dependency_names():
        return "would hide a package that the project or its framework depends on"
    return None


def package_name(project_name: str) -> str:
    """Derive a valid package name from any text.

    >>> package_name("Wälder & Wiesen: U-Net 2")
    'walder_wiesen_u_net_2'
    """
    text = unicodedata.normalize("NFKD", project_name.casefold().translate(LETTERS))
    words = re.findall(r"[a-z0-9]+", "".join(c for c in text if not unicodedata.combining(c)))
    if words and words[0][0].isdigit():
        words.insert(0, "project")
    name = "_".join(words)[:MAX_LENGTH].strip("_") or FALLBACK
    if reserved_reason(name):
        suffix = "_project"
        name = name[: MAX_LENGTH - len(suffix)].rstrip("_") + suffix
    return name


def package_name_problem(name: str) -> str:
    """Return what is wrong with a package name, and a valid one; "" if nothing is."""
    suggestion = package_name(name)
    if len(name) > MAX_LENGTH:
        reason = f"has {len(name)} characters; at most {MAX_LENGTH} are allowed"
    elif PATTERN.fullmatch(name):
        reason = reserved_reason(name) or ""
    elif not name:
        reason = "is empty"
    elif name[0].isdigit():
        reason = "starts with a digit"
    else:
        reason = "is not made of lower-case words (a-z, 0-9) joined by single underscores"
    # The suggestion comes first: the prompt cuts the line at the edge of the terminal.
    return f"Try '{suggestion}': '{name}' {reason}." if reason else ""


class NamingExtension(Extension):
    """Filters: package_name, package_name_problem."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["package_name"] = package_name
        environment.filters["package_name_problem"] = package_name_problem
