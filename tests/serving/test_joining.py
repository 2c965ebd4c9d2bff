"""Requests that are predicted together get what they would have got alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from gaiaflow.serving.joining import Predictor

from .conftest import Load


class Model:
    """Doubles `nir`. The first call waits until it is let go; it notes the rows of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.busy, self.go = threading.Event(), threading.Event()

    def __call__(self, table: pd.DataFrame) -> Any:
        self.calls.append(len(table))
        if not self.busy.is_set():
            self.busy.set()
            assert self.go.wait(20)
        if (table["nir"] < 0).any():
            raise ValueError("negative")
        return (table["nir"] * 2).to_numpy()


Answers = list[Future[Any]]


def waiting(predictor: Predictor) -> int:
    return len(predictor._waiting)


def ask(
    model: Model, predictor: Predictor, tables: list[pd.DataFrame], wait: Callable[[int], bool]
) -> Answers:
    """Send tables while the model is busy with a first one, so that all of them wait."""
    with ThreadPoolExecutor(len(tables) + 1) as threads:
        first = threads.submit(predictor.predict, table(0.5))
        assert model.busy.wait(20)
        answers = [threads.submit(predictor.predict, other) for other in tables]
        limit = threading.Event()
        for _ in range(2000):
            if wait(len(tables)):
                break
            limit.wait(0.01)
        model.go.set()
        assert list(first.result(20)) == [1.0]
    return answers


def table(*nir: float) -> pd.DataFrame:
    return pd.DataFrame({"red": [0.1] * len(nir), "nir": list(map(float, nir))})


def test_waiting_requests_are_joined(load: Load) -> None:
    model = Model()
    predictor = Predictor(load(model))
    tables = [table(*range(1, size + 1)) for size in (1, 2, 3, 4)]
    answers = ask(model, predictor, tables, lambda count: waiting(predictor) >= count)
    assert [list(answer.result()) for answer in answers] == [
        [2.0 * number for number in range(1, size + 1)] for size in (1, 2, 3, 4)
    ]
    assert model.calls == [1, 10]


def test_a_bad_one_spoils_no_others(load: Load) -> None:
    model = Model()
    predictor = Predictor(load(model))
    tables = [table(1), table(-1), table(3)]
    answers = ask(model, predictor, tables, lambda count: waiting(predictor) >= count)
    assert [list(answers[index].result()) for index in (0, 2)] == [[2.0], [6.0]]
    with pytest.raises(ValueError, match="negative"):
        answers[1].result()
    assert sorted(model.calls) == [1, 1, 1, 1, 3]


def test_other_columns_stay_apart(load: Load) -> None:
    """Joined, the missing column would become a column of missing values."""
    model = Model()
    predictor = Predictor(load(model))
    tables = [table(1), pd.DataFrame({"nir": [2.0]}), table(3)]
    answers = ask(model, predictor, tables, lambda count: waiting(predictor) >= count)
    assert [list(answers[index].result()) for index in (0, 2)] == [[2.0], [6.0]]
    with pytest.raises(Exception, match="red"):
        answers[1].result()
    assert model.calls == [1, 2]


def test_long_requests_stay_alone(load: Load) -> None:
    model = Model()
    predictor = Predictor(load(model))
    tables = [table(1), table(*[2] * 5000), table(3)]
    answers = ask(model, predictor, tables, lambda count: waiting(predictor) >= count - 1)
    assert [len(answer.result()) for answer in answers] == [1, 5000, 1]
    assert sorted(model.calls) == [1, 2, 5000]


def test_only_models_that_allow_it(load: Load) -> None:
    """This one compares each row with the mean of its request."""
    means: list[float] = []

    def compare(table: pd.DataFrame) -> Any:
        means.append(float(table["nir"].mean()))
        return (table["nir"] > table["nir"].mean()).to_numpy()

    predictor = Predictor(load(compare, row_wise=False))
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(predictor.predict, table(1, float(n))) for n in range(2, 40)]
    assert all(list(answer.result()) == [False, True] for answer in answers)
    assert sorted(means) == [(1 + n) / 2 for n in range(2, 40)]
