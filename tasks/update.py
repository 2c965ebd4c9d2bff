"""Run by Copier before and after it updates a project.

Copier's own merge can lose work, so `before` saves what an update may touch, and `after` brings
that back and merges again, by tasks/merging.py, with what migrations carry along. If anything
fails, the project is as it was. In between, `render` makes the two releases in the background.

`python3 mlops_manager.py update` in a project does the rest: environments and services.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "template")]  # this release's own framework

import yaml
from plumbum import cli, local

from gaiaflow.snapshot import Snapshot

from tasks import migrations, rendering, reporting
from tasks.merging import Merge, Tree, merge, read_entry, read_tree, write_tree
from tasks.ownership import Owners
from tasks.rendering import ANSWERS, read_answers
from tasks.reporting import Report, changes
from tasks.settings import update_env

BASE, THEIRS, LOG = "base", "theirs", "rendering.log"
AIRFLOW, AIRFLOW_LOCK = ".gaiaflow/airflow", "gaiaflow/locks/airflow.txt"
GENERATED = [".env", "uv.lock", "pixi.lock"]  # of the generated files, those that may be changed


@dataclass(frozen=True)
class Update:
    """An update of a project from one release to another.

    Args:
        project: its folder, in git, with nothing uncommitted.
        source: the new release, a git repository that is checked out.
        old: the commit or tag of the release that the project comes from.
        new: the name of the new release.
    """

    project: Path
    source: Path
    old: str
    new: str

    def before(self) -> bool:
        """Save the project and carry its answers along; whether there is anything to render."""
        stored = (self.project / ANSWERS).read_bytes()
        answers = read_answers(stored)
        both = self._owners(answers)
        refuse_links(self.project, self.source, both)
        paths = [path for owners in both for path in owners.ours]
        snapshot = Snapshot.take(self.project, [*paths, *GENERATED, *converted(self.project)])
        snapshot.save(**{"from": self.old, "to": self.new})
        with self._restored_if_it_fails(snapshot):
            changed = dict(answers)
            for step in migrations.due(self.source, self.old):
                step.answers(changed)
            known = rendering.questions(rendering.show(self.source, "HEAD", "copier.yml"))
            changed = {name: value for name, value in changed.items() if name in known}
            if changed != answers:
                own = {k: v for k, v in yaml.safe_load(stored).items() if k.startswith("_")}
                text = yaml.safe_dump({**own, **changed}, allow_unicode=True, sort_keys=False)
                (self.project / ANSWERS).write_text(text, encoding="utf-8")
        return self.old != self.new or changed != answers

    def render(self, new_answers: Mapping[str, Any]) -> None:
        """Write both releases, as generated anew, into the snapshot's folder."""
        snapshot = Snapshot(self.project)
        old_answers = read_answers(snapshot.saved(ANSWERS) or b"")
        both = self._owners(old_answers)
        for name in (BASE, THEIRS):
            shutil.rmtree(snapshot.folder / name, ignore_errors=True)
        rendering.render(self.source, self.old, old_answers, snapshot.folder / BASE, both)
        draft = snapshot.folder / "draft"
        rendering.render(self.source, "HEAD", new_answers, draft, both)
        draft.rename(snapshot.folder / THEIRS)  # last: what is there is complete

    def after(self) -> Report:
        """Bring the project back as it was, and merge it with the new release."""
        snapshot = Snapshot(self.project)
        if not snapshot:
            raise SystemExit("error: the project was not saved before the update")
        with self._restored_if_it_fails(snapshot):
            answered = read_entry(self.project / ANSWERS)
            aside = snapshot.restore()
            old_answers = read_answers(snapshot.saved(ANSWERS) or b"")
            new_answers = read_answers(answered.data)
            steps = migrations.due(self.source, self.old)
            made = Merge({})
            if self.old != self.new or old_answers != new_answers:
                base, theirs = self._releases(snapshot, new_answers)
                theirs[ANSWERS] = answered
                made = self._merge(snapshot, base, theirs, steps)
            code = self._migrate_code(snapshot, steps)
            settings = update_env(self.project / ".env", new_answers, steps)
            snapshot.record_written([*code, *([".env"] if settings else [])])
            if AIRFLOW_LOCK in snapshot.state["written"]:
                snapshot.cover_environment(AIRFLOW)  # the next command brings it up to the lock
            news = changes(self.source, self.old)
            report = Report(self.old, self.new, made, code, settings, aside, news)
            summary = report.markdown()
            (snapshot.folder / "summary.md").write_text(summary, encoding="utf-8")
            snapshot.save(phase="merged", conflicts=made.conflicts)
        return report

    def _owners(self, answers: Mapping[str, Any]) -> list[Owners]:
        """The classes of both releases: what either calls the user's is left alone."""
        return [rendering.owners_of(self.source, ref, answers) for ref in (self.old, "HEAD")]

    def _releases(self, snapshot: Snapshot, new_answers: Mapping[str, Any]) -> tuple[Tree, Tree]:
        """The old and the new release as generated anew; rendered already, if all went well."""
        snapshot.wait()  # for the other process
        base, theirs = snapshot.folder / BASE, snapshot.folder / THEIRS
        answers = theirs / ANSWERS
        if not answers.exists() or read_answers(answers.read_bytes()) != new_answers:
            self.render(new_answers)
        trees = [
            read_tree(top, sorted(path.name for path in top.iterdir())) for top in (base, theirs)
        ]
        for tree in trees:
            tree.pop(ANSWERS, None)
        return trees[0], trees[1]

    def _merge(
        self, snapshot: Snapshot, base: Tree, theirs: Tree, steps: list[migrations.Step]
    ) -> Merge:
        answers = read_answers(snapshot.saved(ANSWERS) or b"")
        mine = [path for each in self._owners(answers) for path in each.ours]
        before = read_tree(self.project, dict.fromkeys(mine))
        ours = dict(before)
        base[ANSWERS] = ours[ANSWERS]
        for step in steps:
            step.files(base, ours, theirs)
        made = merge(base, ours, theirs, reporting.name(self.new))
        snapshot.cover(*(made.tree.keys() - before.keys()))
        snapshot.record_written(write_tree(self.project, before, made.tree))
        mark_conflicts(self.project, made.conflicts, base, theirs)
        return made

    def _migrate_code(self, snapshot: Snapshot, steps: list[migrations.Step]) -> list[str]:
        """Rewrite imports in the user's tracked Python files and notebooks; the changed paths."""
        steps = migrations.of_kind(steps, migrations.RenamedImport)
        if not steps:
            return []
        changed = []
        for path in git(self.project, "ls-files", "-z", "--", "*.py", "*.ipynb").split("\0"):
            file = self.project / path
            if file.is_symlink() or not file.is_file():
                continue
            data = before = file.read_bytes()
            for step in steps:
                data = step.code(path, data)
            if data != before:
                snapshot.cover(path)
                file.write_bytes(data)
                changed.append(path)
        return changed

    @contextmanager
    def _restored_if_it_fails(self, snapshot: Snapshot) -> Iterator[None]:
        """Whatever goes wrong, the project is as it was.

        Raises:
            NotRestored: that, too, went wrong.
        """
        try:
            yield
        except BaseException:
            try:
                if snapshot.state["phase"] != "started":
                    snapshot.save(phase="started")
                snapshot.restore()
                snapshot.discard()
            except Exception as error:
                raise NotRestored(str(error)) from error
            raise


class NotRestored(Exception):
    """An update failed, and the project could not be brought back."""


def refuse_links(project: Path, source: Path, both: list[Owners]) -> None:
    """Refuse a folder of ours that is a link: Copier would write to where it leads.

    Raises:
        SystemExit: there is one.
    """
    listed = git(source, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", "template").split("\0")
    paths = [path.removeprefix("template/").removesuffix(".jinja") for path in listed]
    ours = [path for path in paths if not any(owners.is_theirs(path) for owners in both)]
    for folder in sorted({parent for path in ours for parent in Path(path).parents}):
        if (project / folder).is_symlink() and (project / folder).is_dir():
            raise SystemExit(
                f"error: {folder} is a link, and an update would write to the folder behind it.\n"
                "Put the files themselves there, commit that, and update again."
            )


def mark_conflicts(project: Path, paths: list[str], base: Tree, theirs: Tree) -> None:
    """Tell git of the conflicts, as a merge of git's own would: the three versions of each."""
    prefix = git(project, "rev-parse", "--show-prefix").strip()
    lines = []
    for path in paths:
        tracked = git(project, "ls-files", "--stage", "-z", "--", path).rstrip("\0")
        if not tracked:
            continue  # ignored by git: the markers and the report have to do
        mode, blob, _ = tracked.partition("\t")[0].split()
        stages = [(mode, blob, 2)]
        for tree, stage in ((base, 1), (theirs, 3)):
            if entry := tree.get(path):
                stages.append((entry.mode, hash_object(project, entry.data), stage))
        lines.append(f"0 {'0' * len(blob)}\t{prefix}{path}\0")
        lines += [
            f"{mode} {blob} {stage}\t{prefix}{path}\0" for mode, blob, stage in sorted(stages)
        ]
    if lines:
        (local["git"]["-C", str(project), "update-index", "-z", "--index-info"] << "".join(lines))()


def converted(project: Path) -> list[str]:
    """Files whose line ends git stores otherwise: should Copier touch one, git can't mend it."""
    found = []
    for line in git(project, "ls-files", "--eol", "-z").split("\0"):
        about, _, path = line.partition("\t")
        index, _, rest = about.removeprefix("i/").partition(" ")
        if path and not rest.strip().startswith(f"w/{index} "):
            found.append(path)
    return found


def hash_object(project: Path, data: bytes) -> str:
    """Store a version of a file in git; its name there."""
    command = ["git", "-C", str(project), "hash-object", "-w", "--stdin"]  # plumbum feeds text only
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


def git(project: Path, *arguments: str) -> str:
    """Run git in the project."""
    return str(local["git"]["-C", str(project)](*arguments))


# --- The command line ----------------------------------------------------------------------------


class Stage(cli.Application):
    """Keep what Copier would lose in an update."""

    source = cli.SwitchAttr("--source", cli.ExistingDirectory, mandatory=True)
    old = cli.SwitchAttr("--from", str, mandatory=True)
    new = cli.SwitchAttr("--to", str, mandatory=True)

    def main(self, stage: str) -> int:
        update = Update(Path.cwd(), Path(str(self.source)), self.old, self.new)
        try:
            if stage == "before":
                if update.before():
                    self._render_in_background(update.project)
            elif stage == "render":
                update.render(read_answers((update.project / ANSWERS).read_bytes()))
            else:
                sys.stderr.write(update.after().text())
        except NotRestored as error:
            sys.stderr.write(
                f"error: the update failed, and the project could not be brought back: {error}\n"
                "Mend that (is there space on the disk?), then: python3 .gaiaflow/update/undo.py\n"
            )
            return 1
        except Exception as error:
            reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()
            sys.stderr.write(
                f"error: the update failed, and the project is as it was before.\n{reason}\n"
                "Please report this: https://github.com/bcdev/gaiaflow/issues\n"
            )
            if os.environ.get("GAIAFLOW_TRACEBACK"):
                raise
            return 1
        return 0

    def _render_in_background(self, project: Path) -> None:
        """Render both releases while Copier does its work; `after` waits for the lock."""
        snapshot = Snapshot(project)
        lock = snapshot.lock.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            return  # a file system without locks: `after` renders them itself
        options = [f"--source={self.source}", f"--from={self.old}", f"--to={self.new}"]
        with (snapshot.folder / LOG).open("w") as log:
            subprocess.Popen(  # goes on when this ends; the lock is free when it ends
                [sys.executable, __file__, *options, "render"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
            )


if __name__ == "__main__":
    Stage.run()
