"""Rasters on the web: signatures that last for an hour or less, and files that name others."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

# GDAL's drivers for files that name others, which may be files of this computer.
POINTERS = {"VRT", "WCS", "WMS", "WMTS"}

_AZURE = ".blob.core.windows.net"
_RETRIES = 3  # about five seconds; the default is seven minutes
_foreign: set[tuple[str, str]] = set()  # accounts and containers that can't be signed


def signed(address: str) -> str:
    """The address with a signature if Microsoft's Planetary Computer has its container.

    Signatures are kept while they last. PC_SDK_SUBSCRIPTION_KEY, which the Planetary Computer asks
    for in some cases, is read from the environment.
    """
    url = urlsplit(address)
    if not url.netloc.endswith(_AZURE):
        return address
    container = url.netloc.removesuffix(_AZURE), url.path.strip("/").partition("/")[0]
    if container in _foreign:
        return address
    try:
        from planetary_computer.sas import get_token, sign_url
    except ImportError:
        logger.warning("%s: to sign it, add planetary-computer to dependencies", address)
        return address
    import requests

    try:
        get_token(*container, retry_total=_RETRIES)  # kept for `sign_url`
        return str(sign_url(address))
    except requests.RequestException as error:
        logger.warning("%s: the Planetary Computer did not sign it: %s", address, error)
        if error.response is not None and error.response.status_code == 404:
            _foreign.add(container)  # it may be public
        return address
