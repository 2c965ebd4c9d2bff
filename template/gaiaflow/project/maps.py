"""Keys to the map of the project's products, all made from its password.

- A ticket opens the map once, within a minute. `open maps` passes one to the browser.
- The key opens tiles. Notebooks and other programs have it in the tiles' addresses.
- The session is what the browser keeps as a cookie.

Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

ENTRANCE = "/enter"
_SECONDS = 60  # until a ticket expires


def key(password: str) -> str:
    """The key in the addresses of tiles."""
    return _sign(password, "tiles")


def session(password: str) -> tuple[str, str]:
    """Name and value of the cookie. Browsers send cookies to all ports, so the name is unique."""
    return f"gaiaflow-maps-{_sign(password, 'name')[:12]}", _sign(password, "session")


def ticket(password: str, now: float) -> str:
    """A ticket that is valid from now on."""
    which = f"{int(now) + _SECONDS}.{secrets.token_hex(8)}"
    return f"{which}.{_sign(password, f'ticket {which}')}"


def is_ticket(password: str, text: str, now: float) -> bool:
    """Whether this is a ticket that is still valid."""
    which, _, signature = text.rpartition(".")
    expected = _sign(password, f"ticket {which}")
    genuine = hmac.compare_digest(signature.encode(), expected.encode())
    return genuine and now <= int(which.partition(".")[0])


def _sign(password: str, what: str) -> str:
    message = f"gaiaflow maps: {what}".encode()
    return hmac.new(password.encode(), message, hashlib.sha256).hexdigest()
