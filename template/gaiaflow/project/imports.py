"""What the project's own files import, found in their text: nothing is run.

Standard library only.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path


def files_of(root: Path, module: str) -> list[Path]:
    """The project's files that `import module` would run: packages first, then the module."""
    found = []
    parts = module.split(".")
    for base in (root, root / "src"):
        for length in range(1, len(parts) + 1):
            path = base.joinpath(*parts[:length])
            for file in (path / "__init__.py", path.with_suffix(".py")):
                if file.is_file():
                    found.append(file)
    return found


def closure(root: Path, files: Iterable[Path]) -> tuple[set[Path], list[str]]:
    """All of the project's files that these files import, and the other modules that all import.

    The files themselves are among them. Modules come in the order in which they are met.
    """
    due = list(files)
    own = set(due)
    others: dict[str, None] = {}
    for file in due:  # grows
        for name in modules(parsed(file), partial(_package, root, file)):
            found = files_of(root, name)
            due += [path for path in found if path not in own]
            own.update(found)
            if not found:
                others[name] = None
    return own, list(others)


def parsed(file: Path) -> ast.Module:
    """The text of a module as a tree; an empty one if it can't be read."""
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def modules(tree: ast.AST, package: Callable[[int], str]) -> Iterator[str]:
    """The modules that a text imports, and the names in them: these may be modules, too.

    Args:
        package: gives the package that so many dots stand for, "" for none.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(filter(None, [package(node.level), node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(root: Path, file: Path, level: int) -> str:
    """The package that so many dots stand for in a file."""
    if not level:
        return ""
    base = root / "src" if file.is_relative_to(root / "src") else root
    parts = file.relative_to(base).parts[:-1]
    return ".".join(parts[: len(parts) - level + 1])
