"""Rasters on the web, and what servers do to them."""

from __future__ import annotations

import http.server
import itertools
import multiprocessing
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaiaflow.rasters import RasterError, lazy, open_reflectance
from gaiaflow.rasters import read as read_raster
from gaiaflow.runner import _is_final
from gaiaflow.web import signed

from tests.planetary_computer import running_signer

from .conftest import Make

BANDS = ("B02", "B03", "B04", "B08")


class Server(http.server.ThreadingHTTPServer):
    """Sends a file, by ranges; fails as told."""

    def __init__(self, data: bytes, faults: Iterator[int | None], size: int) -> None:
        self.data, self.faults, self.size = data, faults, size
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        if code := next(self.server.faults, None):
            self.send_error(code)
            return
        data, size = self.server.data, self.server.size
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(found[1]) if found else 0
        last = min(int(found[2]) if found and found[2] else size - 1, size - 1)
        part = data[first : last + 1]
        self.send_response(206 if found else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if body:
            self.wfile.write(part)
            if len(part) < last + 1 - first:
                self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def serve(connection: Any, data: bytes, faults: Iterator[int | None], size: int) -> None:
    with Server(data, faults, size) as server:
        connection.send(server.server_address[1])
        server.serve_forever()


Serve = Callable[..., str]


@pytest.fixture
def file(make: Make, scene: Any) -> bytes:
    large = np.tile(scene, (1, 8, 8))
    return make(large, tiled=True, blockxsize=64, blockysize=64).read_bytes()


@pytest.fixture
def served(file: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve the file and return its address. In a process: GDAL keeps others of ours waiting."""
    monkeypatch.setitem(lazy.GDAL_OPTIONS, "GDAL_HTTP_RETRY_DELAY", 0.01)
    monkeypatch.setitem(lazy.GDAL_OPTIONS, "GDAL_HTTP_MAX_RETRY", 2)
    with ExitStack() as stack:

        def start(
            faults: Iterable[int | None] = (), end: int | None = None, whole: bytes = file
        ) -> str:
            ours, theirs = multiprocessing.Pipe()
            work = (theirs, whole[:end], iter(faults), len(whole))
            process = multiprocessing.get_context("fork").Process(target=serve, args=work)
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            return f"http://127.0.0.1:{ours.recv()}/scene.tif"

        yield start


def read(address: str) -> Any:
    with open_reflectance(address, BANDS) as raster:
        return raster.read().values


def test_a_file_on_the_web(served: Serve, scene: Any) -> None:
    np.testing.assert_array_equal(read(served()), np.tile(scene, (1, 8, 8)))


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
def test_a_refused_file(served: Serve, code: int) -> None:
    address = served(itertools.repeat(code))
    with pytest.raises(RasterError, match=rf"{address}: GDAL can't read it: .*\b{code}\b"):
        read(address)


def test_a_busy_server_is_asked_again(served: Serve) -> None:
    assert np.isfinite(read(served([503, 429, None, 503]))).all()


def test_a_file_that_ends_in_the_middle(served: Serve, file: bytes) -> None:
    with pytest.raises(RasterError, match="GDAL can't read it"):
        read(served(end=len(file) // 2))


def test_trying_again_helps_only_elsewhere(served: Serve, file: bytes, tmp_path: Path) -> None:
    """The runner tells Airflow whether to try a task again."""
    broken = tmp_path / "broken.tif"
    broken.write_bytes(file[: len(file) // 2])
    for place, is_final in ((served(itertools.repeat(503)), False), (str(broken), True)):
        with pytest.raises(RasterError) as caught:
            read(place)
        assert _is_final(caught.value) == is_final


def test_a_file_that_names_files_of_this_computer(served: Serve, make: Make, scene: Any) -> None:
    path = make(scene)
    bands = "".join(
        f'<VRTRasterBand dataType="Float32" band="{number}"><SimpleSource><SourceFilename>{path}'
        f"</SourceFilename><SourceBand>{number}</SourceBand></SimpleSource></VRTRasterBand>"
        for number in range(1, 5)
    )
    text = f'<VRTDataset rasterXSize="50" rasterYSize="40">{bands}</VRTDataset>'
    path.with_name("local.vrt").write_text(text)
    assert read_raster(path.with_name("local.vrt")).values.shape == (4, 40, 50)
    with pytest.raises(RasterError, match="it is a VRT, which could name files of this computer"):
        read(served(whole=text.encode()))


def test_addresses_of_the_planetary_computer_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    from planetary_computer.settings import Settings

    with running_signer() as (server, asked):
        monkeypatch.setattr(Settings.get(), "sas_url", server)
        address = "https://sentinel2.blob.core.windows.net/data/B04.tif"
        assert [signed(address), signed(address)] == [f"{address}?sig=secret"] * 2
        other = "https://mine.blob.core.windows.net/public/B04.tif"
        assert [signed(other), signed(other)] == [other] * 2
        assert signed("https://example.com/B04.tif") == "https://example.com/B04.tif"
    assert asked == ["/sentinel2/data", "/mine/public"]
