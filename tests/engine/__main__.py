"""Brings up what the container tests need and says what it does.

Ends with 0 when all is there, 1 when something failed, 3 when this machine can't have it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plumbum import ProcessExecutionError

from tests.engine.daemon import Unavailable, ensure_compose, ensure_engine
from tests.engine.standins import ensure_images
from tests.engine.steps import say, step


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.engine", description=__doc__)
    parser.add_argument(
        "--pid-file", type=Path, help="where to leave the process id of an engine started here"
    )
    arguments = parser.parse_args()
    try:
        with step("Docker engine, Compose and images"):
            ensure_engine(arguments.pid_file)
            ensure_compose()
            ensure_images()
    except Unavailable as problem:
        say(str(problem))
        return 3
    except ProcessExecutionError as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
