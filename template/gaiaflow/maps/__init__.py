"""The map of the project's products: its server, and the addresses of its pages and tiles.

The server runs in an environment of its own. Tasks and notebooks use only the two functions below.

    from gaiaflow.maps import page_url, tile_url
"""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from gaiaflow.project import maps

__all__ = ["page_url", "tile_url"]

_TILE = "{z}/{x}/{y}.png"  # a client puts numbers in


def page_url(collection: str, item: str = "") -> str | None:
    """The address of the map that shows an item, for links.

    Args:
        collection: the name of its folder below `products/`.
        item: its id; by default, the map shows the last one.

    Returns:
        None where there is no map, as in a cluster.
    """
    server = os.environ.get("MAPS_URL")
    if not server:
        return None
    return f"{server}/#{'/'.join(filter(None, (quote(collection, safe=''), _file(item))))}"


def tile_url(collection: str, item: str, layer: str = "map") -> str:
    """The address of a layer's tiles, with {z}, {x}, {y} and the key that opens them.

    leafmap, ipyleaflet, folium and QGIS read such tiles while the map's server runs. In a notebook,
    call `gaiaflow.connect()` first. Don't share the address: whoever has it can read the layer.

    Args:
        collection: the name of its folder below `products/`.
        item: the item's id.
        layer: "map" (the classes), "true-color" or "false-color".

    Raises:
        KeyError: there is no map here, as in a cluster, or `connect()` was not called.
    """
    path = f"{quote(collection, safe='')}/{_file(item)}/{quote(layer, safe='')}"
    key = maps.key(os.environ["MLFLOW_TRACKING_PASSWORD"])
    return f"{os.environ['MAPS_URL']}/layers/{path}/{_TILE}?key={key}"


def _file(item: str) -> str:
    """The name of an item's file, as `gaiaflow.stac.write_item` chooses it, for an address."""
    return quote(re.sub(r"[^\w.-]", "_", item), safe="")
