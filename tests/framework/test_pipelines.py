"""What a person is told of a DAG file that does not import."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaiaflow.pipelines import import_error_text

ROOT = Path("/home/me/Wälder (alt)")
DAG = ROOT / "dags" / "landcover.py"
FRAME = '  File "{}", line {}, in <module>\n    ...\n'
AIRFLOW = FRAME.format("/home/me/Wälder (alt)/.gaiaflow/airflow/lib/python3.11/x.py", 7)


def trace(*frames: tuple[str, int], message: str = "NameError: name 'x' is not defined") -> str:
    lines = "".join(FRAME.format(file, line) for file, line in frames)
    return f"Traceback (most recent call last):\n{lines}{message}\n"


@pytest.mark.parametrize(
    ("frames", "where"),
    [
        ([(str(DAG), 12)], "dags/landcover.py, line 12"),
        ([("/usr/lib/importlib.py", 1), (str(DAG), 12)], "dags/landcover.py, line 12"),
        ([(str(DAG), 3), (str(ROOT / "utils" / "a b.py"), 8)], "utils/a b.py, line 8"),
        ([("/usr/lib/importlib.py", 1)], "dags/landcover.py"),
        ([], "dags/landcover.py"),
    ],
)
def test_place_and_message(frames: list[tuple[str, int]], where: str) -> None:
    first, _, rest = import_error_text(ROOT, DAG, trace(*frames)).partition("\n")
    assert first == f"{where}: NameError: name 'x' is not defined"
    assert "until this is mended" in rest


def test_the_users_file_counts_and_not_the_framework_beneath() -> None:
    """A wrong call of create_task is a mistake in the DAG file, not in gaiaflow/tasks.py."""
    frames = [
        (str(DAG), 12),
        (str(ROOT / "gaiaflow" / "tasks.py"), 60),
        (str(ROOT / ".gaiaflow" / "airflow" / "lib" / "airflow" / "sdk.py"), 7),
    ]
    text = import_error_text(ROOT, DAG, trace(*frames, message="ValueError: Task 'a': ..."))
    assert text.startswith("dags/landcover.py, line 12: ValueError: Task 'a': ...")
