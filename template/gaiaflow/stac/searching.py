"""Search a STAC API or a static catalog. An interrupted search goes on where it was."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from datetime import datetime as Moment
from pathlib import Path
from typing import Any

from gaiaflow.stac.folders import Folder, folder
from gaiaflow.stac.items import Item, dumps, write_items
from gaiaflow.stac.products import raster_item

logger = logging.getLogger(__name__)

_QUERY = "query.json"
# In stored pages: what a request for the next page needs; or that there is no such request.
_PARAMETERS, _STATIC = "gaiaflow:parameters", "gaiaflow:static"
_RETRIES = 6  # with growing pauses: about a minute
_TIMEOUT = (10.0, 60.0)  # seconds: to connect, and to read
_BUSY = (429, 500, 502, 503, 504)
_PAGE = 100  # items
_RASTERS = (".tif", ".tiff", ".jp2")


class CatalogError(ValueError):
    """A catalog can't be searched like this. The message says what to change."""


def search(
    catalog: str,
    place: str | Path,
    *,
    collections: Sequence[str] = (),
    bbox: Sequence[float] | None = None,
    intersects: Mapping[str, Any] | None = None,
    datetime: str | None = None,
    max_cloud: float | None = None,
    max_items: int | None = None,
    pages: str | Path | None = None,
) -> int:
    """Search a catalog, and store the items that match as one table.

    Each page is stored as it comes: the same search again goes on after the last one.

    Args:
        catalog: address of a STAC API, or of the JSON file of a static catalog or collection: a
            path, a URL, or "s3://bucket/key". An item's file or a raster (.tif, .tiff, .jp2) is one
            scene, which matches whatever the other arguments say.
        place: a folder, or "s3://bucket/prefix", for the table.
        collections: their ids.
        bbox: west, south, east, north in degrees; west > east across the antimeridian.
        intersects: a GeoJSON geometry, instead of bbox.
        datetime: a moment, a range with "/", or a part of a date such as "2026-06".
        max_cloud: maximum cloud cover in percent (`eo:cloud_cover`); items without it match.
        max_items: end after so many.
        pages: where to keep pages until the search has ended; default: below `place`. A search goes
            on where an equal one of the same day left off.

    Returns:
        How many items match; `read_items(place)` reads them.

    Raises:
        CatalogError: the catalog doesn't answer, or not with STAC; or it refuses the query.
        RasterError: the raster can't be read.
    """
    query = {
        "catalog": catalog,
        "collections": list(collections),
        "bbox": list(bbox) if bbox is not None else None,
        "intersects": dict(intersects) if intersects else None,
        "datetime": datetime,
        "max_cloud": max_cloud,
        "max_items": max_items,
    }
    kept = folder(pages or f"{place}/pages")
    matches = _matcher(query)
    known = _begin(kept, query)
    items: dict[Any, Item] = {}
    count = len(known)
    for number, page in enumerate(
        itertools.chain(known, _pages(query, known[-1] if known else None))
    ):
        if number >= count:
            kept.write(f"{number:06}.json", dumps(page))
        features = page["features"]
        for item in features if page.get(_STATIC) else filter(matches, features):
            items[item.get("collection"), item["id"]] = item
        logger.info("%s: %d items", catalog, len(items))
        if max_items and len(items) >= max_items:
            break
    matching = list(items.values())[:max_items]
    write_items(place, matching)
    _forget(kept)
    return len(matching)


def _begin(kept: Folder, query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pages that an equal search of today has stored, if it can go on after them."""
    mark = dumps({**query, "day": f"{Moment.now(UTC):%Y-%m-%d}"})
    found = [kept.read(name) for name in kept.names() if name != _QUERY]
    pages = [json.loads(data) for data in found if data]
    if kept.read(_QUERY) == mark and not (pages and pages[-1].get(_STATIC)):
        return pages
    _forget(kept)
    kept.write(_QUERY, mark)
    return []


def _forget(kept: Folder) -> None:
    kept.remove(_QUERY)  # first: without it, the remaining pages count for nothing
    for name in kept.names():
        kept.remove(name)


def _pages(query: Mapping[str, Any], last: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The pages of a search, or those after the last one that is known."""
    import requests
    from pystac import Catalog, Link
    from pystac.errors import STACError, STACTypeError
    from pystac_client import Client
    from pystac_client.exceptions import APIError

    api_io, static_io = _readers()
    where = query["catalog"]
    if where.lower().endswith(_RASTERS):
        yield {"features": [raster_item(where)], _STATIC: True}
        return
    try:
        if last is not None and not last.get(_STATIC):
            links = [link for link in last.get("links", []) if link["rel"] == "next"]
            if links:
                link = Link.from_dict(links[0])
                for page in api_io.get_pages(link, parameters=last[_PARAMETERS]):
                    yield {**page, _PARAMETERS: last[_PARAMETERS]}
            return
        found = static_io.read_json(where)
        if found.get("type") == "Feature":
            yield {"features": [_with_address(found, where)], _STATIC: True}
            return
        if not found.get("conformsTo"):
            root = static_io.read_stac_object(where)
            if not isinstance(root, Catalog):
                raise ValueError(f"it is of type {type(root).__name__}")
            yield from _static(root, query)
            return
        client = Client.open(where, stac_io=api_io)
        options = {name: query[name] for name in ("collections", "bbox", "intersects", "datetime")}
        if query["max_cloud"] is not None and client.conforms_to("QUERY"):
            options["query"] = {"eo:cloud_cover": {"lte": query["max_cloud"]}}
        given = {name: value for name, value in options.items() if value}
        result = client.search(limit=_PAGE, **given)
        for page in result.pages_as_dicts():
            yield {**page, _PARAMETERS: result.get_parameters()}
    except APIError as error:
        code = getattr(error, "status_code", None)
        if code and code not in _BUSY:  # trying again would not help: no cause, says the runner
            raise CatalogError(f"{where} refuses the search: {error}") from None
        raise CatalogError(f"{where} does not answer: {error}") from error
    except FileNotFoundError as error:
        raise CatalogError(f"{where} is not there: {error}") from None
    except (requests.RequestException, OSError) as error:
        raise CatalogError(f"{where} does not answer: {error}") from error
    except (STACError, STACTypeError, KeyError, ValueError) as error:
        raise CatalogError(f"{where} is not a STAC catalog: {error}") from None


def _readers() -> tuple[Any, Any]:
    """What reads an API, and what reads catalogs of files; from the object store, too."""
    from pystac import StacIO
    from pystac_client.stac_api_io import StacApiIO
    from urllib3.util import Retry

    class FileIO(StacApiIO):
        def read_text(self, source: Any, *args: Any, **options: Any) -> str:
            address = str(getattr(source, "href", source))
            if not address.startswith("s3://"):
                return str(super().read_text(source, *args, **options))
            place, _, name = address.rpartition("/")
            data = folder(place).read(name)
            if data is None:
                raise FileNotFoundError(f"there is no {address}")
            return data.decode()

        # Plain catalogs, not clients of an API.
        stac_object_from_dict = StacIO.stac_object_from_dict

    retries = Retry(_RETRIES, backoff_factor=1, status_forcelist=_BUSY, allowed_methods=None)
    options: Any = {"max_retries": retries, "timeout": _TIMEOUT}
    return StacApiIO(**options), FileIO(**options)


def _with_address(item: Item, address: str) -> Item:
    """An item with a link to itself, from which relative addresses of its assets start."""
    links = item.get("links", [])
    if any(link.get("rel") == "self" for link in links):
        return item
    return {**item, "links": [*links, {"rel": "self", "href": address}]}


def _static(catalog: Any, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The items of a catalog without search, page by page."""
    matches = _matcher(query)
    found = (item.to_dict(transform_hrefs=False) for item in catalog.get_items(recursive=True))
    matching = (item for item in found if matches(item))
    while page := list(itertools.islice(matching, _PAGE)):
        yield {"features": page, _STATIC: True}


def _matcher(query: Mapping[str, Any]) -> Callable[[Item], bool]:
    """What tells whether an item is what was searched for. Not every catalog filters by all."""
    import shapely.geometry

    area = None
    if query["intersects"]:
        area = shapely.geometry.shape(query["intersects"])
    elif query["bbox"]:
        area = _box(query["bbox"])
    if area is not None:
        shapely.prepare(area)
    begin, end = _range(query["datetime"]) if query["datetime"] else (None, None)

    def matches(item: Item) -> bool:
        properties = item["properties"]
        cover = properties.get("eo:cloud_cover")
        if query["max_cloud"] is not None and cover is not None and cover > query["max_cloud"]:
            return False
        if query["collections"] and item.get("collection") not in query["collections"]:
            return False
        first, last = (
            properties.get(name) or properties.get("datetime")
            for name in ("start_datetime", "end_datetime")
        )
        if (end and _moment(first) > end) or (begin and _moment(last) < begin):
            return False
        if area is None or item["geometry"] is None:
            return area is None
        return bool(area.intersects(shapely.geometry.shape(item["geometry"])))

    return matches


def _box(bbox: Sequence[float]) -> Any:
    """The area of a bounding box, which may have heights too."""
    from shapely.geometry import MultiPolygon, box

    flat = [*bbox[:2], *bbox[3:5]] if len(bbox) == 6 else list(bbox)
    west, south, east, north = flat
    if west <= east:
        return box(west, south, east, north)
    return MultiPolygon([box(west, south, 180, north), box(-180, south, east, north)])


def _range(datetime: str) -> tuple[Moment | None, Moment | None]:
    """The first and the last moment of a range; None where it is open."""
    from pystac_client.item_search import ItemSearch

    text = str(ItemSearch("", datetime=datetime).get_parameters()["datetime"])
    begin, _, end = text.partition("/")
    ends = [None if part == ".." else _moment(part) for part in (begin, end or begin)]
    return ends[0], ends[1]


def _moment(text: str) -> Moment:
    return Moment.fromisoformat(text.replace("Z", "+00:00"))
