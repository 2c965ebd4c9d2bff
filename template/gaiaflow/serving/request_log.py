"""Keep requests and answers in the object store as Parquet, without the server waiting for it.

Rows are buffered in memory and written every few seconds. What a killed process had not written yet
is lost, and so is what arrives while the buffer is full because the store does not answer.
"""

from __future__ import annotations

import io
import json
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gaiaflow.project import request_files

logger = logging.getLogger("gaiaflow.serving")

_CAPACITY = 50_000  # rows that wait for the store
_FULL = 5_000  # rows that are written at once
_ROWS = 1_000  # kept of one request
_TEXT = 10_000  # characters kept of inputs that are not a table

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Entry:
    """One request: when it arrived (UTC), how long it took, and what was wrong with it, if so.

    Args:
        columns: `row`, the number of a row in the request, its inputs and outputs; see `columns`.
    """

    time: datetime
    id: str
    duration_ms: float
    columns: Columns
    error: str | None = None

    @property
    def rows(self) -> int:
        return len(self.columns["row"])


class RequestLog:
    """Collects entries, and writes them from a thread of its own.

    Args:
        put: stores bytes under a key; may raise anything.
        model: the name of the registered model.
        version: the version that answers.
        share: the share of requests to keep, 0..1.
        interval: seconds between two writes.
    """

    def __init__(
        self,
        put: Callable[[str, bytes], None],
        model: str,
        version: str,
        share: float = 1.0,
        interval: float = 10.0,
    ) -> None:
        self.stored = self.dropped = 0  # rows
        self._put = put
        self._model = model
        self._version = version
        self._share = share
        self._interval = interval
        self._waiting: deque[Entry] = deque()
        self._rows = 0  # of those
        self._mutex = threading.Lock()
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def takes(self) -> bool:
        """Whether the next request is in the sample."""
        return random.random() < self._share

    def add(self, entry: Entry) -> None:
        """Take one request's entry, or drop it if the buffer is full."""
        with self._mutex:
            if self._rows + entry.rows > _CAPACITY:
                self.dropped += entry.rows
                return
            self._waiting.append(entry)
            if self._rows < _FULL <= self._rows + entry.rows:
                self._wake.set()
            self._rows += entry.rows

    def close(self) -> None:
        """Write what waits, if the store answers soon."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        answers = True
        closing = False
        while not closing:
            self._wake.wait(self._interval)
            self._wake.clear()
            closing = self._closing  # before the write, which is then the last one and has it all
            try:
                self._write()
            except Exception as error:  # serving never fails because of its log
                if answers:
                    logger.warning("requests are only buffered, not stored: %s", error)
                answers = False
            else:
                if not answers:
                    logger.warning("requests are stored again")
                answers = True

    def _write(self) -> None:
        with self._mutex:
            entries = list(self._waiting)
        if not entries:
            return
        try:
            content = _parquet(entries, self._version)
        except Exception as error:  # those that come later must not wait for these forever
            logger.warning("%d requests can't be stored: %s", len(entries), error)
            self._forget(entries, stored=False)
            return
        key = request_files.new_key(self._model, self._version, len(entries), datetime.now(UTC))
        self._put(key, content)
        self._forget(entries, stored=True)

    def _forget(self, entries: Iterable[Entry], stored: bool) -> None:
        with self._mutex:
            for entry in entries:
                self._waiting.popleft()
                self._rows -= entry.rows
                if stored:
                    self.stored += entry.rows
                else:
                    self.dropped += entry.rows


def _parquet(entries: Sequence[Entry], version: str) -> bytes:
    rows = table(entries, version)
    ids = {request_files.IDS: request_files.ids_of(entry.id for entry in entries)}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata(ids)
    return bytes(sink.getvalue())


def columns(inputs: Any, predictions: Any) -> Columns:
    """The rows of a request: `row`, `input.NAME` for each column of the input, and `output`.

    If the model returns a table, there is an `output.NAME` for each of its columns. What is not a
    table or a list is kept as JSON, such as images, of which only the first has a row. A long
    request is thinned out evenly.
    """
    count = len(inputs)
    kept = range(count) if count <= _ROWS else np.linspace(0, count - 1, _ROWS, dtype=int).tolist()
    if not isinstance(inputs, pd.DataFrame):
        kept = range(1)
    return {"row": list(kept), **_pick(inputs, "input", kept), **_pick(predictions, "output", kept)}


def table(entries: Iterable[Entry], version: str) -> pa.Table:
    """All entries, a row per prediction, or one for a request that was refused.

    Columns: time, id (of the request), version, duration_ms (of the request), error, and those of
    `columns`.
    """
    found: dict[str, list[Any]] = {}
    length = 0
    for entry in entries:
        about = {
            "time": entry.time,
            "id": entry.id,
            "version": version,
            "duration_ms": entry.duration_ms,
            "error": entry.error,
        }
        values = {name: [value] * entry.rows for name, value in about.items()} | entry.columns
        for name in values.keys() - found.keys():
            found[name] = [None] * length
        for name, column in found.items():
            column.extend(values.get(name, [None] * entry.rows))
        length += entry.rows
    types = {"error": pa.string(), "time": pa.timestamp("us", tz="UTC")}
    arrays = {name: _array(found[name], types.get(name)) for name in sorted(found)}
    # JSON may have halves of characters, which files can't.
    return pa.table({name.encode(errors="replace").decode(): arrays[name] for name in arrays})


def _array(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, UnicodeError):
        # Of several types, for which the model has no signature; or what files can't have.
        return pa.array([None if value is None else _text(value) for value in values])


def _pick(data: Any, name: str, kept: Sequence[int]) -> Columns:
    """The kept rows of a table, or of what else a model takes and returns."""
    if isinstance(data, pd.DataFrame):
        return {f"{name}.{key}": _values(values.tolist(), kept) for key, values in data.items()}
    if isinstance(data, np.ndarray) and data.ndim > 1:  # of images, only the kept ones
        data = np.asarray(data)
    elif isinstance(data, np.ndarray | pd.Series):
        data = data.tolist()
    if isinstance(data, list | np.ndarray) and len(data) > max(kept):
        return {name: _values(data, kept)}
    return {name: [_text(data)] + [None] * (len(kept) - 1)}


def _values(values: list[Any] | np.ndarray[Any, Any], kept: Sequence[int]) -> list[Any]:
    picked = values if len(kept) == len(values) else [values[index] for index in kept]
    return [_text(value) if isinstance(value, _NESTED) else value for value in picked]


def _text(value: Any) -> str:
    """The first characters of its JSON, without making the rest, which may be an image."""
    if isinstance(value, np.ndarray) and value.size < _ROWS:
        value = value.tolist()
    short = isinstance(value, list) and len(value) < _ROWS
    if short and not any(isinstance(each, _NESTED) for each in value):
        return _JSON.encode(value)[:_TEXT]  # much faster
    text = io.StringIO()
    for piece in _JSON.iterencode(value):
        text.write(piece)
        if text.tell() >= _TEXT:
            break
    return text.getvalue()[:_TEXT]


def _plain(value: Any) -> Any:
    """What JSON doesn't know."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim < 2 else list(np.asarray(value))
    item = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(item, np.generic) or item is value else item


_NESTED = (list, dict, np.ndarray)
_JSON = json.JSONEncoder(default=_plain)
