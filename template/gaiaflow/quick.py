"""Run a program's module with fewer garbage collections: `python -m gaiaflow.quick MODULE ...`.

Python looks for garbage after every 700 new objects. A server that builds a million of them at
its start, to keep them, spends a quarter of that start on looking in vain.
"""

from __future__ import annotations

import gc
import runpy
import sys

if __name__ == "__main__":
    gc.set_threshold(200_000, 10, 10)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
