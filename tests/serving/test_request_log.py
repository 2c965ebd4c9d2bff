"""The request log: what it stores, and that serving neither waits for it nor fails by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from gaiaflow.project import request_files
from gaiaflow.serving import request_log
from gaiaflow.serving.request_log import Entry, RequestLog, columns, table
from gaiaflow.stac.tables import parquet_file

SOON = 0.05
LIMIT = 20.0


class Store:
    """Stands in for the object store, which can't fail on demand."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.answers = True

    def put(self, key: str, content: bytes) -> None:
        if not self.answers:
            raise OSError("no answer")
        self.objects[key] = content

    def rows(self) -> list[dict[str, Any]]:
        tables = [pq.read_table(parquet_file(content)) for content in self.objects.values()]
        return [row for found in tables for row in found.to_pylist()]


def entry(*nir: float, id: str = "a", error: str | None = None) -> Entry:
    rows = {"row": [0]}
    if error is None:
        inputs = pd.DataFrame({"red": [0.1] * len(nir), "nir": list(nir)})
        rows = columns(inputs, np.array(["Water"] * len(nir)))
    return Entry(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), id, 1.5, rows, error)


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_arrive(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=SOON)
    log.add(entry(0.3, 0.4, id="first"))
    log.add(entry(id="second", error="The input lacks the column nir (double)."))
    wait_for(lambda: log.stored == 3)
    log.close()
    files = [request_files.parse(key) for key in store.objects]
    assert {(file.model, file.version) for file in files if file} == {("landcover", "3")}
    assert sum(file.requests or 0 for file in files if file) == 2
    rows = store.rows()
    assert [row["id"] for row in rows] == ["first", "first", "second"]
    assert rows[1] == {
        "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "id": "first",
        "row": 1,
        "version": "3",
        "duration_ms": 1.5,
        "error": None,
        "input.red": 0.1,
        "input.nir": 0.4,
        "output": "Water",
    }
    assert rows[2]["error"].startswith("The input lacks") and rows[2]["input.nir"] is None
    assert caplog.text == ""


@pytest.mark.parametrize("count", [1, 3000])
def test_a_request_is_found_without_a_reader_of_parquet(count: int) -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=3600)
    for number in range(count):
        log.add(entry(0.3, 0.4, id=f"{'Größe' * 9}-{number}"))
    log.close()
    last = f"{'Größe' * 9}-{count - 1}"
    assert any(request_files.has_request(data, last) for data in store.objects.values())
    for other in (f"{last}0", last[1:], "3", "Water"):
        assert not any(request_files.has_request(data, other) for data in store.objects.values())


def test_close_writes_the_rest() -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=3600)
    log.add(entry(0.3))
    log.close()
    assert len(store.rows()) == 1


def test_close_writes_what_came_during_a_write() -> None:
    writing, goes_on = threading.Event(), threading.Event()
    store = Store()

    def put(key: str, data: bytes) -> None:
        writing.set()
        assert goes_on.wait(LIMIT)
        store.put(key, data)

    log = RequestLog(put, "landcover", "3", interval=SOON)
    log.add(entry(0.3))
    assert writing.wait(LIMIT)
    log.add(entry(0.4))
    closing = threading.Thread(target=log.close)
    closing.start()
    wait_for(lambda: log._closing)
    goes_on.set()
    closing.join(LIMIT)
    assert len(store.rows()) == 2


def test_close_writes_what_came_before_the_thread_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    monkeypatch.setattr(threading.Thread, "join", lambda thread, timeout: thread.run())
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=3600)
    log.add(entry(0.3))
    log.close()
    assert len(store.rows()) == 1


def test_a_full_buffer_is_written_at_once() -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=3600)
    for _ in range(6):
        log.add(entry(*[0.3] * 1000))
    wait_for(lambda: log.stored >= 5000)
    log.close()
    assert len(store.rows()) == 6000


def test_a_store_that_fails_for_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "_CAPACITY", 10)
    store = Store()
    store.answers = False
    log = RequestLog(store.put, "landcover", "3", interval=SOON)
    for number in range(12):
        log.add(entry(0.1 * number))
    assert log.dropped == 2
    wait_for(lambda: "only buffered" in caplog.text)
    store.answers = True
    wait_for(lambda: log.stored == 10)
    log.close()
    assert len(store.rows()) == 10
    assert caplog.text.count("only buffered") == 1
    assert "stored again" in caplog.text


@pytest.mark.parametrize(
    "extra",
    [{"cell": 9749618424903892992}, {"name": "half \ud800"}, {"half \ud800": 1}],
    ids=["a large number", "half a character", "half a character in a name"],
)
def test_what_a_file_cannot_have_blocks_nothing(extra: dict[str, Any]) -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=3600)
    rows: request_log.Columns = {
        "row": [0],
        "output": ["Water"],
        **{name: [extra[name]] for name in extra},
    }
    log.add(Entry(datetime.now(UTC), "a", 1.0, rows))
    log.add(entry(0.3))
    log.close()
    assert log.stored == 2
    assert [row["output"] for row in store.rows()] == ["Water", "Water"]


def test_what_cannot_be_written_is_dropped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    log = RequestLog(store.put, "landcover", "3", interval=SOON)
    with monkeypatch.context() as patch:
        patch.setattr(request_log, "table", lambda *_: 1 / 0)
        log.add(entry(0.3))
        wait_for(lambda: log.dropped)
    log.add(entry(0.4))
    log.close()
    assert (log.dropped, log.stored) == (1, 1)
    assert "1 requests can't be stored" in caplog.text


def test_of_images_the_first_has_a_row_with_its_beginning() -> None:
    # All of them as JSON would not fit into memory.
    images = np.broadcast_to(np.float32(0.25), (3, 4, 100_000, 100_000))
    found = columns(images, images[:, 0])
    assert found["row"] == [0]
    [text] = found["input"]
    assert text.startswith("[[[0.25, 0.25, ")
    assert len(text) == 10_000


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (np.array([[0.5, 1.5], [2.5, 3.5]]), ["[0.5, 1.5]", "[2.5, 3.5]"]),
        (np.matrix([[0.5], [1.5]]), ["[0.5]", "[1.5]"]),
        (np.array([0.5, 1.5], np.longdouble), [0.5, 1.5]),
        (np.array([1, 2], np.uint8), [1, 2]),
        ([[1, [2]], {"a": np.float32(0.5)}], ["[1, [2]]", '{"a": 0.5}']),
        (np.array(7), ["7", None]),
    ],
    ids=["probabilities", "a matrix", "long numbers", "codes", "lists", "a number"],
)
def test_what_models_return(answer: Any, kept: list[Any]) -> None:
    assert columns(pd.DataFrame({"red": [1, 2]}), answer)["output"] == kept


def test_a_store_that_hangs_holds_nobody_up() -> None:
    hanging, go = threading.Event(), threading.Event()

    def put(key: str, content: bytes) -> None:
        hanging.set()
        go.wait(20)

    log = RequestLog(put, "landcover", "3", interval=SOON)
    log.add(entry(0.3))
    assert hanging.wait(20)
    started = time.perf_counter()
    for _ in range(1000):
        log.add(entry(0.3))
    assert time.perf_counter() - started < 10  # it waits 20 s for the store
    go.set()
    log.close()


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.5, 400, 600), (1, 1000, 1000)])
def test_the_share_that_is_kept(share: float, least: int, most: int) -> None:
    log = RequestLog(Store().put, "landcover", "3", share, interval=3600)
    assert least <= sum(log.takes() for _ in range(1000)) <= most
    log.close()


def test_a_long_request_is_thinned_out() -> None:
    inputs = pd.DataFrame({"nir": np.arange(100_000.0)})
    found = columns(inputs, inputs["nir"] * 2)
    assert len(found["row"]) == 1000
    assert (found["row"][0], found["row"][-1]) == (0, 99_999)
    assert found["output"] == [2.0 * value for value in found["input.nir"]]


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        (np.zeros((1, 2)), np.ones(1), {"input": "[0.0, 0.0]", "output": 1.0}),
        (np.zeros((2, 2)), {"mask": [1, 2]}, {"input": "[0.0, 0.0]", "output": '{"mask": [1, 2]}'}),
        ({"text": ["a", "b"]}, ["A"], {"input": '{"text": ["a", "b"]}', "output": "A"}),
        (
            pd.DataFrame({"nir": [0.1]}),
            pd.DataFrame({"class": ["Water"], "share": [0.9]}),
            {"input.nir": 0.1, "output.class": "Water", "output.share": 0.9},
        ),
    ],
)
def test_what_is_no_table(inputs: Any, outputs: Any, expected: dict[str, Any]) -> None:
    found = columns(inputs, outputs)
    assert {name: values[0] for name, values in found.items()} == {"row": 0, **expected}


def test_values_of_several_types() -> None:
    """A model without a signature takes anything."""
    mixed = [entry(1), entry(2)]
    mixed[0].columns["output"] = [1]
    mixed[1].columns["output"] = ["Water"]
    assert table(mixed, "3")["output"].to_pylist() == ["1", '"Water"']
