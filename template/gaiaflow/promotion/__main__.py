"""Obey one order on standard input; write what happens to standard output, as lines of JSON.

`{"say": "..."}` is progress. The last line is `{"version": 4, "created": true}` or
`{"error": "..."}`. Passwords come with the order: every user can read command lines.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from gaiaflow.promotion.copying import CantCopy, Order, copy

_INTERRUPTED = 130


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # MLflow prints

    def tell(**what: Any) -> None:
        lines.write(json.dumps(what) + "\n")

    try:
        version, created = copy(Order(**json.load(sys.stdin)), lambda what: tell(say=what))
    except CantCopy as error:
        tell(error=str(error))
        return 1
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)  # without waiting for threads that download
    tell(version=version, created=created)
    return 0


if __name__ == "__main__":
    sys.exit(main())
