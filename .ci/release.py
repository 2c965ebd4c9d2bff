"""Tag the releases that have no tag yet, and publish the newest on GitHub.

    python .ci/release.py              # say what is missing
    python .ci/release.py --publish    # make it; needs the right to push, and GitHub's `gh`

Copier finds releases by their tags. tests/lifecycle/releases.toml lists the earlier ones; the
version in pyproject.toml is the one that this commit releases.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from plumbum import FG, cli, local

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Release:
    """A version and the commit that it is."""

    version: str
    commit: str

    @property
    def tag(self) -> str:
        return f"v{self.version}"


def version() -> str:
    """The version of the working tree."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def earlier() -> list[Release]:
    """The releases before this one, oldest first."""
    text = (ROOT / "tests" / "lifecycle" / "releases.toml").read_text(encoding="utf-8")
    return [Release(entry["version"], entry["commit"]) for entry in tomllib.loads(text)["release"]]


def notes(of: str) -> str:
    """What CHANGES.md says of a version, without its heading.

    Raises:
        LookupError: it says nothing.
    """
    text = (ROOT / "CHANGES.md").read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^## {re.escape(of)} \(\d{{4}}-\d\d-\d\d\)\n(.*?)(?=^## |\Z)", text)
    if not found:
        raise LookupError(f"CHANGES.md has no section `## {of} (DATE)`.")
    return found[1].strip() + "\n"


class Publish(cli.Application):
    """Tag the releases that have no tag yet, and publish the newest on GitHub."""

    publish = cli.Flag("--publish", help="push the tags and make the release on GitHub")

    def main(self) -> int:
        git = local["git"].with_cwd(ROOT)
        tags = set(git("tag", "--list").split())
        new = Release(version(), git("rev-parse", "HEAD").strip())
        released = earlier()
        known = {release.version for release in released}
        wanted = released if new.version in known else [*released, new]
        missing = [release for release in wanted if not {release.tag, release.version} & tags]
        for release in missing:
            self.say(f"{release.tag}: {release.commit[:12]}")
            if self.publish:
                text = notes(release.version)
                git("tag", "--annotate", "--message", release.tag, release.tag, release.commit)
                git["push", "origin", f"refs/tags/{release.tag}"] & FG
                latest = "true" if release == missing[-1] else "false"
                create = local["gh"]["release", "create", release.tag, "--title", release.tag]
                options = create["--verify-tag", f"--latest={latest}", "--notes-file", "-"]
                (options.with_cwd(ROOT) << text) & FG
        if not missing:
            self.say("Every release has its tag.")
        return 0

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    Publish.run()
