"""The process that serves one version of a model; the supervisor starts it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

# scikit-learn and others load development tools where they find any: 10 MiB that a server does not
# need, and that the project's image lacks.
_LEFT_OUT = ("IPython", "pytest")

logger = logging.getLogger("gaiaflow.serving")


def main() -> NoReturn:
    """Serve until the supervisor or a signal ends it."""
    options = _options()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    for chatty in ("mlflow", "botocore"):  # their advice is for developers
        logging.getLogger(chatty).setLevel(logging.ERROR)
    sys.modules.update(dict.fromkeys(_LEFT_OUT))  # type: ignore[arg-type]

    from gaiaflow.serving.models import CantServe
    from gaiaflow.serving.server import serve

    try:
        serve(options)
    except CantServe as error:
        logger.error("%s", error)
        sys.exit(1)
    sys.stderr.flush()
    os._exit(0)  # without waiting for scoring threads: their clients are gone


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", default="", help="default: the champion")
    parser.add_argument("--listener", type=int, required=True, help="file descriptor")
    parser.add_argument("--channel", type=int, required=True, help="file descriptor")
    parser.add_argument("--folder", type=Path, required=True, help="for the downloaded model")
    parser.add_argument("--max-mib", type=float, default=16, help="size of the largest request")
    parser.add_argument("--max-waiting", type=int, default=64, help="requests in progress")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one request")
    parser.add_argument("--flush", type=float, default=10, help="seconds between two writes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
