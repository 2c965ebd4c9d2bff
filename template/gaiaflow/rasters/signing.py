"""Addresses that can only be read with a signature, which lasts for an hour or less."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

_AZURE = ".blob.core.windows.net"


def signed(address: str) -> str:
    """The address with a signature if Microsoft's Planetary Computer has its container.

    Signatures are kept while they last. PC_SDK_SUBSCRIPTION_KEY, which the Planetary Computer asks
    for in some cases, is read from the environment.
    """
    if not urlsplit(address).netloc.endswith(_AZURE):
        return address
    try:
        import planetary_computer
    except ImportError:
        logger.warning("%s: to sign it, add planetary-computer to dependencies", address)
        return address
    import requests

    try:
        return str(planetary_computer.sign_url(address))
    except requests.RequestException as error:
        logger.warning("%s: the Planetary Computer did not sign it: %s", address, error)
        return address  # a container of someone else's may be public
