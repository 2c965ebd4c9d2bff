"""A double of the server that signs addresses of Microsoft's Planetary Computer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Tokens(http.server.BaseHTTPRequestHandler):
    """Has a token for the container sentinel2/data only."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path != "/sentinel2/data":
            self.send_error(404)
            return
        answer = b'{"token": "sig=secret", "msft:expiry": "2999-01-01T00:00:00Z"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def running_signer() -> Iterator[tuple[str, list[str]]]:
    """Its address, for PC_SDK_SAS_URL, and the containers that it was asked for."""
    asked: list[str] = []
    handler = type("Handler", (_Tokens,), {"asked": asked})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
