"""Call one function of the project with JSON arguments and write its JSON result.

The same program runs a task in a process, a container or a pod. It needs nothing but Python:

    GAIAFLOW_ARGUMENTS='{"scene": "s3-key"}' GAIAFLOW_RESULT=result.json \\
        python -m gaiaflow.runner my_package.preprocess:prepare
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from gaiaflow import source

LIMIT = 100_000  # bytes of JSON: as much as an environment variable carries everywhere
# The exit code after an error that every further try would repeat (sysexits.h: EX_DATAERR).
FINAL = 65

# Errors of the data and the code, as opposed to the network, a disk or memory.
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
    """A value cannot travel between tasks. The message names it and says what to do."""


def to_json(value: Any, what: str) -> str:
    """Serialize a value that is to travel between tasks.

    Args:
        value: the value; a dict's entries are named in the error.
        what: how to name the value, as "the result of train".

    Raises:
        NotJsonError: it has no JSON form, or is longer than LIMIT bytes.
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
            kind, advice = str(part), "Use None for what is missing."
        raise NotJsonError(f"{name} is no JSON value ({kind}). {advice}") from error
    size = len(text)
    if size > LIMIT:
        name = what
        if isinstance(value, dict):
            name, _ = max(value.items(), key=lambda item: len(json.dumps(item[1])))
            name = f"{name!r} in {what}"
        raise NotJsonError(f"{name} is too large ({size} bytes, the limit is {LIMIT}). {advice}")
    return text


def load(reference: str) -> Callable[..., Any]:
    """Import the function that "package.module:function" names.

    Raises:
        ImportError: there is no such module or function; or the module's own imports fail.
    """
    module_name, _, name = reference.partition(":")
    module = importlib.import_module(module_name)
    function = getattr(module, name, None)
    if not callable(function):
        raise ImportError(f"{module_name} has no function {name!r} ({module.__file__})")
    return function  # type: ignore[no-any-return]


def main(reference: str) -> int:
    """Run the task: 0 if the function returned JSON; if not, 1, or FINAL if no retry can help."""
    arguments = json.loads(os.environ.get("GAIAFLOW_ARGUMENTS") or "{}")
    _tag_commit()
    try:
        gc.disable()  # an import makes many objects, and no garbage
        function = load(reference)
        gc.enable()
        result = to_json(_call(function, arguments), f"the result of {reference}")
    except NotJsonError as error:
        sys.stdout.flush()  # what the function printed comes before its error
        sys.stderr.write(f"{error}\n")
        return FINAL
    except Exception as error:
        sys.stdout.flush()
        _print_from_users_code(error)
        return FINAL if _is_final(error) else 1
    if path := os.environ.get("GAIAFLOW_RESULT"):
        Path(path).write_text(result, encoding="utf-8")
    return 0


def _tag_commit() -> None:
    """Add to what MLflow tags runs with: the commit of this code, or of this image."""
    tags = json.loads(os.environ.get("MLFLOW_RUN_CONTEXT") or "{}")
    commit = os.environ.get("GAIAFLOW_COMMIT") or source.commit(Path(__file__).parents[1])
    if tags and commit:
        tags.setdefault("mlflow.source.git.commit", commit)
        os.environ["MLFLOW_RUN_CONTEXT"] = json.dumps(tags)


def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """The function's result; `sys.exit()` in it is a return without one, and with a code an end."""
    try:
        return function(**arguments)
    except SystemExit as ended:
        if ended.code:
            raise
        return None


def _is_final(error: BaseException | None) -> bool:
    """Whether an error and everything that led to it says that the data or the code is wrong.

    Libraries mix the kinds: requests, for one, has errors that are both OSError and ValueError.
    Those may pass.
    """
    while error is not None:
        if isinstance(error, OSError) or not isinstance(error, _FINAL_ERRORS):
            return False
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return True


def _end(number: int, _: FrameType | None) -> None:
    """End by a signal as by an exception, so that `with` and `finally` clean up.

    Without a handler, the first process of a container would not even hear the signal.
    """
    sys.exit(128 + number)


def _culprit(value: Any, name: str) -> tuple[str, Any]:
    """The innermost part of a value that is not JSON, with its name."""
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


def _print_from_users_code(error: Exception) -> None:
    """Print the traceback without the frames of this file and of importlib."""
    own = {__file__, importlib.__file__}
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list(
        frame
        for frame in shown.stack
        if frame.filename not in own and not frame.filename.startswith("<frozen")
    )
    sys.stderr.write("".join(shown.format()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    os.dup2(1, 2)  # through two pipes a container's lines would lose their order
    sys.exit(main(sys.argv[1]))
