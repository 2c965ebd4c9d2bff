"""What fits on a small screen."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gaiaflow import console

STATES = [
    ("airflow-api-server", "healthy", "http://127.0.0.1:8080/", "user admin, password Xk3xPq7yAb"),
    ("airflow-dag-processor", "failed", "", ""),
    ("jupyterlab", "healthy", "http://127.0.0.1:8082/lab", "token Xk3xPq7yAb"),
]


def screen(monkeypatch: pytest.MonkeyPatch, name: str, width: int) -> io.StringIO:
    written = io.StringIO()
    made = Console(file=written, force_terminal=True, width=width, height=24, color_system=None)
    monkeypatch.setattr(console, name, made)
    return written


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_states_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    written = screen(monkeypatch, "out", width)
    console.print_states(STATES)
    lines = [line.rstrip() for line in written.getvalue().splitlines()]
    for cell in [cell for row in STATES for cell in row]:
        assert any(cell in line for line in lines), cell  # whole, to be copied
    assert max(map(len, lines)) <= width
    assert (lines[0].split()[:2] == ["SERVICE", "STATE"]) == (width >= 100)


def test_many_tasks_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch, "err", 80)
    progress = console.Progress()
    for number in range(40):
        progress.notify(f"good_{number}", "success", "")
    progress.notify("bad", "failed", "")
    progress.notify("slow", "running", "")
    shown = Console(file=io.StringIO(), width=80)
    with shown.capture() as capture:
        shown.print(progress._render())
    lines = capture.get().splitlines()
    assert len(lines) < 24
    assert "20 more" in lines[0]
    assert any("bad" in line for line in lines) and any("slow" in line for line in lines)
