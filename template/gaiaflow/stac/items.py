"""STAC items in a table: stac-geoparquet (https://github.com/stac-utils/stac-geoparquet)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gaiaflow.stac.folders import folder

TABLE = "items.parquet"

Item = dict[str, Any]

# In tables, for items without a place: stac-geoparquet needs both.
_NOWHERE: Item = {"geometry": {"type": "Polygon", "coordinates": []}, "bbox": [0, 0, 0, 0]}


def write_items(place: str | Path, items: Iterable[Item]) -> None:
    """Write items as `items.parquet` into a folder or under a prefix of the store."""
    import stac_geoparquet.arrow

    found = [item if item["geometry"] else {**item, **_NOWHERE} for item in items]
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, TABLE)
        if found:
            table = stac_geoparquet.arrow.parse_stac_items_to_arrow(found)
            stac_geoparquet.arrow.to_parquet(table, path)
        folder(place).write(TABLE, path.read_bytes() if found else b"")


def read_items(place: str | Path, ids: Sequence[str] | None = None) -> list[Item]:
    """Read items as JSON from where `search` has left them.

    Args:
        ids: only these; in this order.

    Raises:
        LookupError: there is no table, or an item is not in it.
    """
    import pyarrow.parquet
    import stac_geoparquet.arrow

    from gaiaflow.stac.tables import parquet_file

    data = folder(place).read(TABLE)
    if data is None:
        raise LookupError(f"There is no {TABLE} in {place}: the search has not ended.")
    if not data:
        return []
    filters = None if ids is None else [("id", "in", list(ids))]
    table = pyarrow.parquet.read_table(parquet_file(data), filters=filters)
    items = list(stac_geoparquet.arrow.stac_table_to_items(table))
    items = [_without_gaps(item) for item in items]
    for item in items:
        if not item["geometry"].get("coordinates", True):
            item["geometry"] = None
            del item["bbox"]
    if ids is None:
        return items
    known = {item["id"]: item for item in items}
    if missing := [name for name in ids if name not in known]:
        raise LookupError(f"{place} has no item {missing[0]!r}.")
    return [known[name] for name in ids]


def _without_gaps(value: Any) -> Any:
    """JSON without the nulls that a table has where an item lacks what another one has."""
    if isinstance(value, dict):
        return {
            key: _without_gaps(part)
            for key, part in value.items()
            if part is not None or key in ("geometry", "datetime")
        }
    return [_without_gaps(part) for part in value] if isinstance(value, list) else value


def dumps(value: Any) -> bytes:
    """JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True).encode()
