"""`notify` of `mlops_manager.py`: a message to the people in NOTIFY_URLS."""

from __future__ import annotations

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, FAILED
from gaiaflow.notifying.sending import send
from gaiaflow.project import variables
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.settings import notify_urls


class Notify(cli.Application):
    """Send TEXT to everybody in NOTIFY_URLS, to try them"""

    def main(self, text: str) -> int:
        project = common.project()
        urls = notify_urls(project.env.get(variables.NOTIFY_URLS, ""))
        if not urls:
            raise GaiaflowError(
                "There is nobody to tell: NOTIFY_URLS is not set.\n"
                "Set it in .env, such as NOTIFY_URLS=ntfys://ntfy.sh/my-topic"
            )
        problems = send(urls, project.identity.package, text)
        for where, why in problems.items():
            console.print_error(f"{where}: {why}")
        console.out.print(f"Sent to {len(urls) - len(problems)} of {len(urls)}.")
        return FAILED if problems else DONE
