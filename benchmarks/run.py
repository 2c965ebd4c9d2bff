#!/usr/bin/env python3
"""Measure Gaiaflow against its floors and peers: `python benchmarks/run.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if __name__ == "__main__":
    try:
        from benchmarks.cli import Benchmarks
    except ModuleNotFoundError as error:
        if error.name not in {"plumbum", "psutil"}:
            raise
        sys.exit(f"error: {error.name} is missing. Run: pip install plumbum psutil")
    Benchmarks.run()
