"""Send a message to the URLs in NOTIFY_URLS: `python -m gaiaflow.notifying.sending`.

Reads {"title", "body", "failure"} as JSON, and prints a line for each URL that it wasn't sent to.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from urllib.parse import unquote

from gaiaflow.project import variables
from gaiaflow.project.settings import notify_urls

_PACKAGE = "MLFLOW_EXPERIMENT_NAME"  # which of a person's projects it is
_PARTS = re.compile(r"[/:@?&=,;]+")


def send(urls: Iterable[str], title: str, body: str, *, failure: bool = False) -> dict[str, str]:
    """Send a message to Apprise URLs, one after the other.

    Returns:
        For each URL that it wasn't sent to, by its place and scheme, such as "2. ntfy", why. These
        texts have no part of a URL, which contains passwords.
    """
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

    said = _Said()
    logger = logging.getLogger("apprise")
    logger.propagate, logger.handlers = False, [said]
    problems = {}
    for number, url in enumerate(urls, 1):
        said.lines.clear()
        service = Apprise(asset=AppriseAsset(app_id="Gaiaflow"))
        sent = service.add(url) and service.notify(
            body=body or title,  # Apprise sends none that is empty
            title=title,
            notify_type=NotifyType.FAILURE if failure else NotifyType.INFO,
            body_format=NotifyFormat.TEXT,
        )
        if not sent:
            scheme = url.partition(":")[0]
            why = " ".join(said.lines) or "it was refused"
            problems[f"{number}. {scheme}"] = _without_secrets(why, url)
    return problems


class _Said(logging.Handler):
    """What Apprise says about a problem, which it only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _without_secrets(text: str, url: str) -> str:
    """Remove all that a URL contains after its scheme from a text."""
    _, _, secret = url.partition("://")
    parts = {part for form in (secret, unquote(secret)) for part in _PARTS.split(form)}
    for part in sorted((secret, *parts), key=len, reverse=True):
        if len(part) > 2:
            text = text.replace(part, "...")
    return text


def main() -> int:
    """Send the message on standard input."""
    message = json.load(sys.stdin)
    message["title"] = f"{os.environ[_PACKAGE]}: {message['title']}"
    for where, why in send(notify_urls(os.environ[variables.NOTIFY_URLS]), **message).items():
        print(f"{where}: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
