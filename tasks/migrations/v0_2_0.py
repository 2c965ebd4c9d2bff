"""From 0.1.0 to 0.2.0: containers want settings that `.env` does not have yet."""

from __future__ import annotations

import sys
from pathlib import Path

from plumbum import cli

PROJECT = Path.cwd()


class Migrate(cli.Application):
    """Add the new settings to .env, with fresh passwords; those that are there stay."""

    package = cli.SwitchAttr("--package", str, mandatory=True)
    environment_manager = cli.SwitchAttr("--environment-manager", str, mandatory=True)
    object_store = cli.SwitchAttr("--object-store", str, mandatory=True)

    def main(self) -> int:
        sys.path.insert(0, str(PROJECT))
        from gaiaflow import settings  # the project's own, as the update has left it

        if not (PROJECT / ".env").exists():
            return 0  # the next command makes it, with all settings
        identity = settings.Identity(self.package, self.environment_manager, self.object_store)
        added = settings.complete_env(PROJECT, identity)
        if added:
            sys.stderr.write(f"Added to .env: {', '.join(added)}\n")
        return 0


if __name__ == "__main__":
    Migrate.run()
