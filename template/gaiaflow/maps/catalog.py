"""Read the STAC collections of the project's bucket. Only what they list can be shown.

A collection is a folder `products/NAME` with a `collection.json`, as `gaiaflow.stac` writes it.
"""

from __future__ import annotations

import json
import os
import posixpath
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gaiaflow.maps.errors import MapError, Missing, StoreDown
from gaiaflow.maps.layers import Layer, layers_of

FOLDER = "products"
_COLLECTION = "collection.json"
_FRESH = 2.0  # seconds before asking the store whether a document has changed
_SIGNED = 3600  # seconds for which an address is signed
_RENEW = 600  # seconds after which it is signed again
_KEPT = 2000  # documents
_ABSENT = {"404", "NoSuchBucket", "NoSuchKey"}
_UNCHANGED = {"304", "NotModified"}


@dataclass
class _Document:
    """A JSON file in the store. Its tag tells its content."""

    tag: str
    content: dict[str, Any]
    asked: float


@dataclass(frozen=True)
class Item:
    """A STAC item and its layers. Its version changes whenever it is written."""

    content: Mapping[str, Any]
    version: str
    layers: tuple[Layer, ...]
    signed: float

    @property
    def is_plain(self) -> bool:
        """Whether it has no place on the Earth."""
        return self.content.get("geometry") is None


class Catalog:
    """The project's collections."""

    def __init__(self, bucket: str) -> None:
        """Connect to the store that the environment variables name."""
        options = Config(
            connect_timeout=3,
            read_timeout=20,
            retries={"total_max_attempts": 2},
            s3={"addressing_style": "path"},
            signature_version="s3v4",
        )
        self.bucket = bucket
        # An empty variable means Amazon's own store.
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
        self._client = boto3.client("s3", endpoint_url=endpoint, config=options)
        self._documents: OrderedDict[str, _Document] = OrderedDict()
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._lock = threading.Lock()

    def collections(self) -> list[dict[str, Any]]:
        """All collections with the ids of their items, in the order of their names.

        Raises:
            StoreDown: the store does not answer.
        """
        found: list[dict[str, Any]] = []
        for name in self._names():
            try:
                content = self._collection(name)
            except MapError as error:
                found.append({"id": name, "title": name, "items": [], "problem": str(error)})
                continue
            title = content.get("title") or content.get("description") or name
            links = _item_links(name, content)
            items = [{"id": id_, "title": link.get("title", "")} for id_, _, link in links]
            found.append({"id": name, "title": title, "items": items})
        return found

    def item(self, collection: str, id_: str) -> Item:
        """An item that its collection lists.

        Raises:
            Missing: there is no such item.
            MapError: it can't be read.
        """
        links = _item_links(collection, self._collection(collection))
        key = next((key for found, key, _ in links if found == id_), None)
        if key is None:
            raise Missing(f"The collection {collection} lists no item {id_}.")
        document = self._read(key)
        if document is None:
            raise Missing(f"The collection {collection} lists {id_}, but {key} does not exist.")
        with self._lock:
            known = self._items.get(key)
        # The address of a file is part of GDAL's cache: a new signature makes it forget the old
        # content of a file that was written again.
        current = known and known.version == document.tag
        if known and current and time.monotonic() - known.signed < _RENEW:
            return known
        folder = posixpath.dirname(key)
        layers = layers_of(document.content, lambda href: self._address(href, folder))
        item = Item(document.content, document.tag, tuple(layers), time.monotonic())
        with self._lock:
            _keep(self._items, key, item)
        return item

    def why_not(self, name: str) -> str:
        """Why GDAL could not read a file: a sentence for people."""
        if name.startswith("s3://"):
            bucket, _, key = name.removeprefix("s3://").partition("/")
            try:
                self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return f"{name} is not in the object store any more."
            except BotoCoreError:
                return str(StoreDown())
        return f"{name} can't be read as a raster."

    def _names(self) -> Iterator[str]:
        prefix = f"{FOLDER}/"
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                for folder in page.get("CommonPrefixes", []):
                    name = folder["Prefix"].removeprefix(prefix).rstrip("/")
                    if self._read(f"{prefix}{name}/{_COLLECTION}"):
                        yield name
        except ClientError as error:
            if _code(error) not in _ABSENT:
                raise MapError(f"The object store refuses to list {prefix}: {error}") from None
        except BotoCoreError:
            raise StoreDown from None

    def _collection(self, name: str) -> dict[str, Any]:
        document = None if name in {".", ".."} else self._read(f"{FOLDER}/{name}/{_COLLECTION}")
        if document is None:
            raise Missing(f"There is no collection {name} in s3://{self.bucket}/{FOLDER}/.")
        return document.content

    def _read(self, key: str) -> _Document | None:
        """Read a document, or ask whether it is as before. Return None if there is none."""
        with self._lock:
            known = self._documents.get(key)
        now = time.monotonic()
        if known and now - known.asked < _FRESH:
            return known
        condition = {"IfNoneMatch": known.tag} if known else {}
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **condition)
            content = json.loads(answer["Body"].read())
        except ClientError as error:
            if known and _code(error) in _UNCHANGED:
                known.asked = now
                return known
            if _code(error) in _ABSENT:
                return None
            raise MapError(f"The object store refuses {key}: {error}") from None
        except BotoCoreError:
            raise StoreDown from None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise MapError(f"s3://{self.bucket}/{key} is not a JSON object.")
        document = _Document(answer["ETag"], content, now)
        with self._lock:
            _keep(self._documents, key, document)
        return document

    def _address(self, href: str, folder: str) -> tuple[str, str]:
        """The name of a file for people, and the address from which GDAL reads it.

        Raises:
            MapError: nothing of the kind may be read.
        """
        url = urlsplit(href)
        if url.scheme == "https":
            return href.partition("?")[0], href
        if url.scheme == "s3":
            bucket, key = url.netloc, url.path.lstrip("/")
        elif url.scheme or url.netloc or href.startswith("/"):
            raise MapError(f"{href} is neither in the object store nor on the web (https).")
        else:
            bucket, key = self.bucket, posixpath.normpath(posixpath.join(folder, href))
        target = {"Bucket": bucket, "Key": key}
        signed = self._client.generate_presigned_url("get_object", target, ExpiresIn=_SIGNED)
        return f"s3://{bucket}/{key}", signed


def _item_links(
    collection: str, content: Mapping[str, Any]
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The id, the key and the link of each item that lies in the collection's folder."""
    folder = f"{FOLDER}/{collection}"
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for link in content.get("links", []):
        if isinstance(link, dict) and link.get("rel") == "item":
            key = posixpath.normpath(posixpath.join(folder, str(link.get("href", ""))))
            if key.startswith(f"{folder}/"):
                found.append((posixpath.basename(key).removesuffix(".json"), key, link))
    return found


def _keep(store: OrderedDict[str, Any], key: str, value: Any) -> None:
    store[key] = value
    store.move_to_end(key)
    while len(store) > _KEPT:
        store.popitem(last=False)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
