"""`mlops_manager.py completion`: what lets a shell complete commands on TAB."""

from __future__ import annotations

import contextlib
import sys

from plumbum import cli

from gaiaflow.cli.common import DONE, WrongUse
from gaiaflow.completion import SHELLS, script
from gaiaflow.project.errors import GaiaflowError


class Completion(cli.Application):
    """Print a script with which bash, zsh or fish completes these commands on TAB

    It completes services, DAGs, tasks, functions, keys and models, in any Gaiaflow project.
    """

    DESCRIPTION_MORE = """
Install it once, and open a new terminal:
/ bash   completion bash > ~/.gaiaflow.bash; echo 'source ~/.gaiaflow.bash' >> ~/.bashrc
/ zsh    completion zsh > ~/.gaiaflow.zsh; echo 'source ~/.gaiaflow.zsh' >> ~/.zshrc
/ fish   completion fish > ~/.config/fish/conf.d/gaiaflow.fish
"""

    words = cli.SwitchAttr(
        "--words",
        str,
        argname="LINE",
        help="print the words that complete this line instead; the scripts ask for them",
    )

    def main(self, shell: str = "") -> int:
        if self.words is not None:
            sys.stdout.writelines(f"{word}\n" for word in _words(str(self.words)))
        elif shell in SHELLS:
            sys.stdout.write(script(shell))
        else:
            raise WrongUse(f"Name a shell: {', '.join(SHELLS)}")
        return DONE


def _words(line: str) -> list[str]:
    from gaiaflow.cli.mlops import MlopsManager
    from gaiaflow.completion import words
    from gaiaflow.completion.known import Known

    with contextlib.suppress(GaiaflowError, OSError):  # nobody reads errors on TAB
        return words.complete(line, MlopsManager, Known())
    return []
