"""What requests get as an answer, and what is wrong with them."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd
import pytest

from gaiaflow.serving.scoring import Scorer

from .conftest import Load

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"


def classes(table: pd.DataFrame) -> Any:
    """Water is dark in the near infrared. It can't handle missing values."""
    if table.isna().any(axis=None):
        raise ValueError("Input contains NaN")
    return ["Water" if nir < 0.1 else "Land" for nir in table["nir"]]


@pytest.fixture
def scorer(load: Load) -> Scorer:
    return Scorer(load(classes))


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pd.DataFrame(columns).to_parquet(sink)
    return sink.getvalue()


def split(columns: list[str], *rows: list[Any]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (split(["red", "nir"], [0.1, 0.05], [0.1, 0.4]), JSON),
        (split(["nir", "red", "more"], [0.05, 0.1, 9], [0.4, 0.1, 9]), f"{JSON}; charset=utf-8"),
        (
            b'{"dataframe_records": [{"red": 1, "nir": 0}, {"red": 1, "nir": 1}]}',
            JSON,
        ),
        (b'{"inputs": {"red": [0.1, 0.1], "nir": [0.05, 0.4]}}', JSON),
        (b"red,nir\n0.1,0.05\n0.1,0.4\n", "text/csv"),
        (parquet(red=[0.1, 0.1], nir=[0.05, 0.4]), PARQUET),
    ],
)
def test_all_forms_of_the_protocol(scorer: Scorer, body: bytes, kind: str) -> None:
    scored = scorer.score(body, kind)
    assert scored.status == 200, scored
    assert json.loads(scored.content) == {"predictions": ["Water", "Land"]}
    assert scored.inputs["nir"].tolist() in ([0.05, 0.4], [0, 1])
    assert list(scored.predictions) == ["Water", "Land"]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (split(["red"], [0.1]), JSON, ["lacks the column nir (double)"]),
        (split(["B4", "B8"], [0.1, 1]), JSON, ["lacks the columns red (double), nir (double)"]),
        (split(["red", "nir"], [0.1, "high"]), JSON, ["nir", "float64", "high"]),
        (split(["red", "nir"], [0.1, None]), JSON, ["missing values", "column nir, row 0"]),
        (split(["red", "nir"]), JSON, ["no rows"]),
        (b"red,nir\n0.1,0.4\n0.1,high\n", "text/csv", ["nir (double)", "'high'"]),
        (b"red\n0.1\n", "text/csv", ["nir (double)"]),
        (parquet(red=["a"], nir=[0.4]), PARQUET, ["red", "float64"]),
        (b"PAR1", PARQUET, ["Parquet"]),
        (b'{"pixels": []}', JSON, ["dataframe_split"]),
        (b"[1, 2]", JSON, ["dataframe_split"]),
        (b"{red: 1}", JSON, ["valid JSON", "line 1 column 2"]),
        (b"\xff\xfe", JSON, ["valid JSON"]),
    ],
)
def test_wrong_inputs(scorer: Scorer, body: bytes, kind: str, words: list[str]) -> None:
    scored = scorer.score(body, kind)
    assert scored.status == 400, scored
    assert all(word in scored.content for word in words), scored.content
    assert len(scored.content) < 300, "the request is not repeated"


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin-1"])
def test_other_kinds_of_content(scorer: Scorer, kind: str) -> None:
    assert scorer.score(split(["red", "nir"], [1, 1]), kind).status == 415


def test_a_model_that_fails(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    def fail(table: pd.DataFrame) -> Any:
        raise ZeroDivisionError("in /home/anna/secret.py")

    scored = Scorer(load(fail)).score(split(["red", "nir"], [1, 1]), JSON, "tile-7")
    assert scored.status == 500
    assert "secret" not in scored.content
    assert "request tile-7" in caplog.text and "in /home/anna/secret.py" in caplog.text
