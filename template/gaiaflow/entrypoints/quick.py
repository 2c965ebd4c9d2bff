"""Run a module with less garbage collection: `python -m gaiaflow.entrypoints.quick MODULE ...`.

Python looks for garbage after every 700 new objects. A server that creates a million long-lived
objects at its start spends a quarter of that time looking in vain.

A fork, such as a worker of Airflow's, starts with all of these, and then makes little more than
garbage: 10 MB in 60 tasks, if nobody looks.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys

if __name__ == "__main__":
    gc.set_threshold(200_000, 10, 10)
    os.register_at_fork(after_in_child=lambda: gc.set_threshold(10_000, 10, 10))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
