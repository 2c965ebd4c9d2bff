"""Run a module with less garbage collection: `python -m gaiaflow.entrypoints.quick MODULE ...`.

Python looks for garbage after every 700 new objects. A server that creates a million long-lived
objects at its start spends a quarter of that time looking in vain.
"""

from __future__ import annotations

import gc
import runpy
import sys

if __name__ == "__main__":
    gc.set_threshold(200_000, 10, 10)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
