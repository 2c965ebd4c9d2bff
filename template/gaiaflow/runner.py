"""Call one function of the project with JSON arguments, and write its JSON result.

Runs a task in a process, a container or a pod. It needs only Python:

    GAIAFLOW_ARGUMENTS='{"scene": "s3-key"}' GAIAFLOW_RESULT=result.json \\
        python -m gaiaflow.runner my_package.preprocess:prepare
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import machinery
from pathlib import Path
from types import FrameType
from typing import Any

from gaiaflow import __version__
from gaiaflow.project import source, variables

_ROOT = Path(__file__).parents[1]
LIMIT = 100_000  # bytes of JSON that fit into an environment variable on every system
# The exit code for errors that retries would only repeat (sysexits.h: EX_DATAERR).
FINAL = 65

# Errors in data or code, as opposed to those of the network, disk or memory.
_FINAL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)


class NotJsonError(ValueError):
    """A value can't be passed between tasks. The message names it and says what to do."""


def to_json(value: Any, what: str) -> str:
    """Serialize a value to pass it between tasks.

    Args:
        value: the value; errors name the entry of a dict or list.
        what: the value's name in errors, such as "the result of train".

    Raises:
        NotJsonError: the value can't be serialized, or needs more than LIMIT bytes.
    """
    advice = "Keep the data in the object store and pass its key."
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        if "Circular" in str(error):
            raise NotJsonError(f"{what} contains itself. {advice}") from error
        name, part = _culprit(value, what)
        kind = type(part).__name__
        if hasattr(part, "item") and getattr(part, "ndim", None) == 0:
            advice = "Call .item() on it."
        elif isinstance(part, float):
            kind, advice = str(part), "Use None for missing values."
        raise NotJsonError(f"{name} is not a JSON value ({kind}). {advice}") from error
    size = len(text)
    if size > LIMIT:
        name = what
        if isinstance(value, dict):
            name, _ = max(value.items(), key=lambda item: len(json.dumps(item[1])))
            name = f"{name!r} in {what}"
        raise NotJsonError(f"{name} is too large ({size} bytes, the limit is {LIMIT}). {advice}")
    return text


def load(reference: str) -> Callable[..., Any]:
    """Import a function by its reference, "package.module:function".

    Raises:
        ImportError: there is no such module or function, or the module's own imports fail.
    """
    module_name, _, name = reference.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, name, None)
    if not callable(function):
        raise ImportError(f"{module_name} has no function {name!r} ({module.__file__})")
    return function  # type: ignore[no-any-return]


def main(reference: str) -> int:
    """Run the task; return 0 on success, FINAL if retries can't help, and otherwise 1."""
    arguments = json.loads(os.environ.get(variables.ARGUMENTS) or "{}")
    if os.environ.get(variables.EDITED):
        _see_edits()
    _name_code()
    _show_progress()
    try:
        gc.disable()  # imports create many objects but no garbage
        function = load(reference)
        gc.enable()
        result = to_json(_call(function, arguments), f"the result of {reference}")
    except NotJsonError as error:
        sys.stdout.flush()  # print the function's output before its error
        sys.stderr.write(f"{error}\n")
        return FINAL
    except Exception as error:
        sys.stdout.flush()
        _print_from_users_code(error)
        if os.environ.get(variables.DEBUG):
            _debug(error)
        return FINAL if _is_final(error) else 1
    if path := os.environ.get(variables.RESULT):
        Path(path).write_text(result, encoding="utf-8")
    return 0


class _Source(machinery.SourceFileLoader):
    """Compiles a file at each import, instead of once for each second and size of the file."""

    def path_stats(self, path: str) -> dict[str, Any]:
        raise OSError("its bytecode is not cached")


def _is_own(path: str) -> bool:
    """Whether a file or folder is the project's, and neither the framework's nor a library's."""
    file = Path(path)
    is_others = file.is_relative_to(_ROOT / "gaiaflow") or file.is_relative_to(sys.prefix)
    return file.is_relative_to(_ROOT) and not is_others


def _see_edits() -> None:
    """Import the project's own code as it is, even if it changed twice within a second."""

    def finder(path: str) -> machinery.FileFinder:
        if not _is_own(path):
            raise ImportError
        extensions = (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES)
        return machinery.FileFinder(path, extensions, (_Source, machinery.SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    for path in [*filter(_is_own, sys.path_importer_cache)]:
        del sys.path_importer_cache[path]


def _name_code() -> None:
    """Make MLflow's runs and products name the code of this project or image."""
    if not os.environ.get(variables.COMMIT):
        os.environ.update(source.state(_ROOT))
    tags = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT") or "{}")
    if not tags:
        return
    known = {
        "mlflow.source.git.commit": os.environ[variables.COMMIT],
        "mlflow.source.git.dirty": os.environ.get(variables.DIRTY, ""),
        "gaiaflow.version": __version__,
    }
    tags = {**{name: value for name, value in known.items() if value}, **tags}
    os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps(tags)


def _show_progress() -> None:
    """Put what the framework does for the function into the task's log."""
    log = logging.getLogger("gaiaflow")
    if not log.handlers:
        log.addHandler(logging.StreamHandler(sys.stdout))
        log.setLevel(logging.INFO)
        log.propagate = False  # else shown twice if the function sets up logging


def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call the function. `sys.exit()` in it returns None; with an error code, it ends the task."""
    try:
        return function(**arguments)
    except SystemExit as ended:
        if ended.code:
            raise
        return None


def _is_final(error: BaseException | None) -> bool:
    """Whether an error and all its causes point to wrong data or code.

    Some libraries mix the kinds: requests has errors that are both OSError and ValueError. Those
    may be temporary.
    """
    while error is not None:
        if isinstance(error, OSError) or not isinstance(error, _FINAL_ERRORS):
            return False
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return True


def _end(number: int, _: FrameType | None) -> None:
    """Turn a signal into an exception: then `with` and `finally` clean up.

    Without a handler, the first process of a container would ignore the signal.
    """
    sys.exit(128 + number)


def _culprit(value: Any, name: str) -> tuple[str, Any]:
    """The name of the innermost part of a value that is not JSON, and that part."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        bad = [key for key in value if not isinstance(key, (str, int, float, type(None)))]
        if bad:
            return f"the key {bad[0]!r} of {name}", bad[0]
        inner = list(value.items())
    elif isinstance(value, (list, tuple)):
        inner = list(enumerate(value))
    for key, part in inner:
        try:
            json.dumps(part, allow_nan=False)
        except (TypeError, ValueError):
            return _culprit(part, f"{key!r} in {name}")
    return name, value


def _debug(error: Exception) -> None:
    """Let a person look at the variables, beginning with the last line of the project's code."""
    import pdb

    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    deeper = next((n for n, name in enumerate(reversed(frames)) if _is_own(name)), 0)
    debugger = pdb.Pdb()
    debugger.cmdqueue = [f"up {deeper}"] if deeper else []
    debugger.reset()
    debugger.interaction(None, error.__traceback__)


def _print_from_users_code(error: Exception) -> None:
    """Print the traceback without the frames of this file and of importlib.

    If it ends in a library, begin with the last line of the project's own code.
    """
    own = {__file__, importlib.__file__}
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list(
        frame
        for frame in shown.stack
        if frame.filename not in own and not frame.filename.startswith("<frozen")
    )
    users = [frame for frame in shown.stack if _is_own(frame.filename)]
    if users and users[-1] is not shown.stack[-1]:
        where = f"{Path(users[-1].filename).relative_to(_ROOT)}, line {users[-1].lineno}"
        message = traceback.format_exception_only(error)[-1]
        sys.stderr.write(f"{where}: {users[-1].line}\n{message}\n")
    sys.stderr.write("".join(shown.format()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    os.dup2(1, 2)  # two pipes would mix up the order of a container's lines
    sys.exit(main(sys.argv[1]))
