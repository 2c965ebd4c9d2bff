"""Parquet in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import gaiaflow

READS = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from gaiaflow.stac.tables import parquet_file

data = Path(sys.argv[1]).read_bytes()
for _ in range(20):
    table = pq.read_table(parquet_file(data))
assert table.to_pydict() == {"row": [0, 1, 2], "class": ["Water", "Forest", "Urban"]}
"""


def test_python_ends_after_a_read(tmp_path: Path) -> None:
    """Arrow's threads may outlive Python: half of these were aborted with Python's own bytes."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"row": [0, 1, 2], "class": ["Water", "Forest", "Urban"]}), path)
    environment = {**os.environ, "PYTHONPATH": str(Path(gaiaflow.__file__).parents[1])}
    for _ in range(8):
        subprocess.run([sys.executable, "-c", READS, path], env=environment, check=True)
