"""Parquet in memory."""

from __future__ import annotations

import pyarrow as pa


def parquet_file(data: bytes) -> pa.BufferReader:
    """The bytes of a Parquet file, to read a table from.

    They are copied to memory of Arrow's own. Its threads let go of what they read a moment after
    the reader has returned; if that is an object of Python's (bytes or `io.BytesIO`) and Python
    ends meanwhile, the process is aborted (apache/arrow#33975).
    """
    copy = pa.BufferOutputStream()
    copy.write(data)
    return pa.BufferReader(copy.getvalue())
