"""A server that people's messages are sent to, as Apprise sends them to `json://`."""

from __future__ import annotations

import http.server
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

TOKEN = "s3cr3t-t0ken"  # in its URL, as in that of a real service
REFUSED = "/refused"  # below its URL, it answers 403


@dataclass
class Receiver:
    """Its URL, and what it has got: `title`, `message`, `type`."""

    url: str = ""
    got: queue.Queue[dict[str, Any]] = field(default_factory=queue.Queue)

    def next(self, limit: float = 60) -> dict[str, Any]:
        """The next message; `queue.Empty` if there is none within the limit (s)."""
        return self.got.get(timeout=limit)

    def about(self, name: str, limit: float = 60) -> dict[str, Any]:
        """The next message in which a name occurs; others are dropped."""
        while name not in str(message := self.next(limit)):
            pass
        return message


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on a free port."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = self.path.endswith(REFUSED)
            if not refused:
                receiver.got.put(message)
            self.send_response(403 if refused else 200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        receiver.url = f"json://127.0.0.1:{server.server_port}/{TOKEN}"
        yield receiver
        server.shutdown()
