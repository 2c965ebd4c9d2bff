"""Output for people: live progress while services start, and a table at the end.

Progress goes to standard error, results to standard output.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

for _stream in (sys.stdout, sys.stderr):
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="replace")  # not every terminal can show ✓

# Don't wrap lines in pipes and files: scripts read lines.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 1000)
err = Console(stderr=True, highlight=False)

_MARKS = {
    "healthy": ("✓", "green"),
    "success": ("✓", "green"),
    "stopped": ("✓", "green"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "upstream_failed": ("✗", "red"),
    "up_for_retry": ("↻", "yellow"),
    "skipped": ("-", "dim"),
    "moved": ("!", "yellow"),
    "awaiting_input": ("?", "yellow"),
    "waiting": ("…", "yellow"),
}
_GONE_WELL = {"healthy", "success", "stopped", "done", "skipped"}
_NOT_YET = {"waiting", "scheduled", "queued"}
_WAITS_FOR_SOMETHING = {"deferred", "up_for_retry", "awaiting_input"}
_UNDER_WAY = _NOT_YET | _WAITS_FOR_SOMETHING | {"starting", "stopping", "running"}


def print_json(value: Any) -> None:
    """Print a result for a script."""
    out.print(json.dumps(value, indent=2), soft_wrap=True, markup=False)


def print_error(text: str) -> None:
    """Print an error; its first line stands out."""
    first, _, rest = text.partition("\n")
    err.print(Text.assemble(("error: ", "bold red"), first), soft_wrap=True)
    if rest:
        err.print(Text(rest), soft_wrap=True)


def print_states(rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a table of services: name, state, URL and log-in.

    If the table is too wide, print several lines for each service: nothing wraps because people
    copy from here.
    """
    made = table(["SERVICE", "STATE", "URL", "LOG IN"], rows)
    unbroken = out.options.update(max_width=1000)
    if out.measure(made, options=unbroken).maximum <= out.width:
        out.print(made)
        return
    for name, state, url, login in rows:
        out.print(Text.assemble(name, "  ", _state_text(state)), soft_wrap=True)
        for cell in filter(None, (url, login)):
            out.print(Text(f"    {cell}"), soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A plain table; cells wrap instead of being cut because people copy from them."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(
            *(
                _state_text(cell) if column == "STATE" else Text(cell)
                for column, cell in zip(columns, row, strict=True)
            )
        )
    return made


def confirm(question: str) -> bool | None:
    """Ask a yes-no question; only "y" and "yes" mean yes. Return None without a terminal."""
    if not sys.stdin.isatty():
        return None
    err.print(Text(f"{question} [y/N] "), end="", soft_wrap=True)
    try:
        return input().strip().lower() in {"y", "yes"}
    except EOFError:
        err.print()
        return False


class Progress:
    """Live progress, one line per item: a spinner, elapsed seconds, and the result.

    Without a terminal (in a log or a pipe), print a line for each change instead.
    """

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str, float, float | None]] = {}
        self._mutex = threading.Lock()
        self._live = Live(get_renderable=self._render, console=err, refresh_per_second=8)

    def __enter__(self) -> Progress:
        if err.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if err.is_terminal:
            self._live.stop()

    def notify(self, name: str, state: str, detail: str) -> None:
        """Update the state of an item."""
        now = time.monotonic()
        with self._mutex:
            known = self._rows.get(name)
            _, _, since, ended = known or ("", "", now, None)
            if known and known[0] != state and known[0] in _NOT_YET:
                since = now
            ended = None if state in _UNDER_WAY else ended or now
            self._rows[name] = (state, detail, since, ended)
        if not err.is_terminal and (known is None or known[0] != state):
            line = [f"{name}:", state, f"{now - since:.1f} s" if known else "", detail]
            err.print(Text(" ".join(filter(None, line))), soft_wrap=True)

    def _render(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        with self._mutex:
            rows = dict(self._rows)
        now = time.monotonic()
        done = [name for name, row in rows.items() if row[0] in _GONE_WELL]
        # Screen lines are scarce: fold finished items, show failures and work in progress.
        folded = done[: max(0, len(rows) + 2 - err.height)]
        if folded:
            grid.add_row(_mark("done"), f"{len(folded)} more", _state_text("done"), "", "")
        for name in folded:
            del rows[name]
        for name, (state, detail, since, ended) in rows.items():
            mark: RenderableType = _mark(state) if ended or state in _MARKS else Spinner("dots")
            seconds = f"{(ended or now) - since:5.1f} s"
            said = Text(detail, "dim", no_wrap=True, overflow="ellipsis")
            grid.add_row(mark, name, _state_text(state), seconds, said)
        return Group(grid)


def _mark(state: str) -> Text:
    return Text(*_MARKS.get(state, ("·", "dim")))


def _state_text(state: str) -> Text:
    return Text(state, _MARKS.get(state, ("", ""))[1])
