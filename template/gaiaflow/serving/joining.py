"""Predict for several requests at once: for small requests, most of the time is overhead per call.

Only for a model whose metadata says `row_wise: True`, which promises that the prediction for a row
does not depend on the other rows.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel

_MOST = 4096  # rows that are joined; a longer request has little overhead, and would delay others


@dataclass
class _Ticket:
    """A request's inputs and, later, its predictions or its error."""

    data: Any
    result: Any = None
    error: Exception | None = None
    done: bool = False


class Predictor:
    """Calls a model from several threads, for one after the other.

    The interpreter runs one thread at a time, so parallel calls would only slow each other down. A
    thread whose turn it is also predicts for those that wait.
    """

    def __init__(self, model: PyFuncModel) -> None:
        self._model = model
        self.joins = bool((model.metadata.metadata or {}).get("row_wise"))
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._waiting: list[_Ticket] = []

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """The model's predictions for the inputs of one request."""
        if params or not self.joins or not isinstance(data, pd.DataFrame) or len(data) > _MOST:
            with self._turn:
                return self._model.predict(data, params=params)
        ticket = _Ticket(data)
        with self._mutex:
            self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                self._answer(self._take(ticket))
        if ticket.error:
            raise ticket.error
        return ticket.result

    def _take(self, own: _Ticket) -> list[_Ticket]:
        """This ticket, and waiting ones with the same columns and types."""
        taken, rows = [own], len(own.data)
        left: list[_Ticket] = []
        with self._mutex:
            for ticket in self._waiting:
                if ticket is own:
                    continue
                fits = rows + len(ticket.data) <= _MOST and ticket.data.dtypes.equals(
                    own.data.dtypes
                )
                (taken if fits else left).append(ticket)
                rows += len(ticket.data) if fits else 0
            self._waiting = left
        return taken

    def _answer(self, tickets: list[_Ticket]) -> None:
        if len(tickets) > 1:
            try:
                self._answer_together(tickets)
            except Exception:  # perhaps because of one of them
                pass
            else:
                return
        for ticket in tickets:
            try:
                ticket.result = self._model.predict(ticket.data)
            except Exception as error:
                ticket.error = error
            ticket.done = True

    def _answer_together(self, tickets: list[_Ticket]) -> None:
        joined = pd.concat([ticket.data for ticket in tickets], ignore_index=True)
        predictions: Any = self._model.predict(joined)
        if not isinstance(predictions, np.ndarray | pd.Series | pd.DataFrame | list):
            raise TypeError("its predictions can't be divided")
        if len(predictions) != len(joined):
            raise ValueError("it does not return one prediction per row")
        first = 0
        for ticket in tickets:
            last = first + len(ticket.data)
            part = slice(first, last)
            by_position = getattr(predictions, "iloc", predictions)
            ticket.result = by_position[part]
            ticket.done = True
            first = last
