"""STAC items of products: which one is meant, and what it says."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflow.project.errors import GaiaflowError


def is_item(key: str) -> bool:
    """Whether an object in a collection is an item: `COLLECTION/items/NAME.json`."""
    folder, name = posixpath.split(key)
    return posixpath.basename(folder) == "items" and name.endswith(".json")


def item_id(key: str) -> str:
    """The id of an item in a collection, as its file is called."""
    return posixpath.basename(key).removesuffix(".json")


def find_item(thing: str, items: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The key of the item that is meant: by its key, its id, or the key of a file or its folder."""
    if thing in items:
        return thing
    for key, item in items.items():
        if thing in (item_id(key), item["id"]):
            return key
    wanted = thing.rstrip("/")
    for key, item in items.items():
        collection = posixpath.dirname(posixpath.dirname(key))
        if not wanted.startswith(f"{collection}/"):
            continue
        for asset in item["assets"].values():
            file = resolved(key, str(asset["href"]))
            if wanted in (file, posixpath.dirname(file)):
                return key
    return None


def resolved(key: str, href: str) -> str:
    """An address in an item; relative ones start at the item's key."""
    if "://" in href or href.startswith("/"):
        return href
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), href))


def item_in(content: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    wanted = {"id", "properties", "assets"}
    return found if isinstance(found, dict) and wanted <= found.keys() else None


def read_item(file: Path) -> dict[str, Any]:
    item = item_in(file.read_bytes())
    if item is None:
        raise GaiaflowError(f"{file} is not a STAC item.")
    return item
