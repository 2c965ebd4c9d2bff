"""What files need from each other, found in their text: nothing is run."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from gaiaflow.project import imports
from gaiaflow.project.identity import read_identity

# "package.module:function", as in DAGs.
_REFERENCE = re.compile(r"\b((?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*):[A-Za-z_]")
# "%matplotlib inline", "names = !ls" or "train?", in notebooks.
_IPYTHON = re.compile(
    r"^([ \t]*)(?:(?:[\w., ]+=[ \t]*)?[%!](?:.*\\\n)*.*|\?.*|.*\?[ \t]*)$", re.MULTILINE
)
_IMPORT = re.compile(r"^[ \t]*((?:from|import)[ \t].*)", re.MULTILINE)


def files_used(root: Path, files: Iterable[Path]) -> set[Path]:
    """These files and all of the project's that they import or name, directly or not."""
    known: set[Path] = set()
    due = set(files)
    while due:
        found, _ = imports.closure(root, due)
        named = {path for file in found - known for path in _named(root, file)}
        known |= found
        due = named - known
    return known


def _named(root: Path, file: Path) -> Iterator[Path]:
    """The files of the modules whose functions a file names."""
    if file.suffix in (".py", ".yml", ".yaml", ".ipynb"):
        text = file.read_text(encoding="utf-8", errors="replace")
        for module in set(_REFERENCE.findall(text)):
            yield from imports.files_of(root, module)


def used(root: Path, files: Collection[Path]) -> set[Path]:
    """Those of these files that the project's other ones use."""
    folders = ("dags", "notebooks", "services", "src", "tests", read_identity(root).package)
    others = {
        path
        for folder in folders
        for ending in ("*.py", "*.yml", "*.yaml", "*.ipynb")
        for path in (root / folder).rglob(ending)
        if path.parent.name != ".ipynb_checkpoints"  # Jupyter's copies
    }
    # An `__init__.py` uses nothing that makes it worth keeping: its folder's modules do.
    others = {path for path in others.difference(files) if path.name != "__init__.py"}
    notebooks = {path for path in others if path.suffix == ".ipynb"}
    for notebook in notebooks:
        others.update(imported(root, notebook), _named(root, notebook))
    return files_used(root, others - notebooks).intersection(files)


def imported(root: Path, file: Path) -> Iterator[Path]:
    """The project's files that a test or a notebook imports itself."""
    for module in imports.modules(ast.parse(_code(file)), lambda _: ""):  # none is relative
        yield from imports.files_of(root, module)


def _code(file: Path) -> str:
    """The text of a module, or that of a notebook's Python cells without commands for IPython."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return text if file.suffix == ".py" else "\n".join(map(_python, _cells(text)))


def _cells(notebook: str) -> Iterator[str]:
    """The cells of a notebook that have code; none if it can't be read."""
    with contextlib.suppress(ValueError, LookupError, TypeError):
        for cell in json.loads(notebook)["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def _python(cell: str) -> str:
    """A cell's code, with `pass` in place of commands; only its imports if it isn't Python."""
    code = _IPYTHON.sub(r"\1pass", cell)
    for text in (cell, code):
        if _parses(text):
            return text
    return "\n".join(filter(_parses, _IMPORT.findall(code)))


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def lacking(
    root: Path, new: Mapping[str, bytes], release: Mapping[str, bytes]
) -> dict[str, list[str]]:
    """What new files import from files of the project that don't have it.

    Args:
        new: the new files.
        release: the files that they were written for, where the project's may differ.

    Returns:
        For each file of the project, the names that it lacks.
    """
    found: dict[str, set[str]] = {}
    for path, data in new.items():
        if not path.endswith(".py"):
            continue
        for module, name in _uses(path, data):
            file = _file(release, module)
            if not file or file in new or _file(release, f"{module}/{name}"):
                continue
            if name not in _names(imports.parsed(root / file)):
                found.setdefault(file, set()).add(name)
    return {file: sorted(names) for file, names in sorted(found.items())}


def _file(files: Container[str], module: str) -> str:
    """The file of a module such as "my_package/utils/s3"; empty if it isn't among these."""
    return next((f for f in (f"{module}.py", f"{module}/__init__.py") if f in files), "")


def _uses(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The names that a file uses of modules of its package: ("my_package/utils/s3", "get")."""
    tree = ast.parse(data)
    modules: dict[str, str] = {}  # by the name that they have in this file
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = (node.module or "").replace(".", "/")
        if node.level:
            module = str(PurePosixPath(path).parents[node.level - 1] / module)
        elif path.startswith("src/"):
            module = f"src/{module}"
        for alias in node.names:
            yield module, alias.name
            modules[alias.asname or alias.name] = f"{module}/{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id, "")
            if module:
                yield module, node.attr


def _names(tree: ast.Module) -> set[str]:
    """What a module defines or imports at its top level, also under conditions."""
    found: set[str] = set()
    due: list[ast.AST] = list(tree.body)
    for node in due:  # grows
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            due += ast.iter_child_nodes(node)
    return found
