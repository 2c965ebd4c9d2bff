"""Run by Copier before and after it asks the questions of an update.

Copier's own merge can lose work, so copier.yml lets it render nothing. `before` carries the answers
along; `after` merges by tasks/merging.py, with what migrations carry along, into the project as it
is by then. If anything fails, the project is as it was. In between, `render` makes the two releases
in the background.

`python3 mlops_manager.py update` in a project does the rest: environments and services.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "template")]  # this release's own framework

import yaml
from plumbum import cli, local

from gaiaflow.snapshot import Kept, Snapshot

from tasks import migrations, rendering, reporting
from tasks.merging import (
    FILE,
    Entry,
    Tree,
    differences,
    digest_of,
    merge,
    read_entry,
    read_tree,
    write_tree,
)
from tasks.ownership import Owners
from tasks.rendering import ANSWERS, read_answers
from tasks.reporting import Report, changes
from tasks.settings import update_env

BASE, THEIRS, LOG, STORED = "base", "theirs", "rendering.log", "answers.yml"
AIRFLOW, AIRFLOW_LOCK = ".gaiaflow/airflow", "gaiaflow/locks/airflow.txt"
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        """Carry the project's answers along; whether there is anything to render."""
        stored = (self.project / ANSWERS).read_bytes()
        answers = read_answers(stored)
        refuse_links(self.project, self.source, self._owners(answers))
        snapshot = Snapshot.prepare(self.project)
        (snapshot.folder / STORED).write_bytes(stored)
        changed = dict(answers)
        for step in migrations.due(self.source, self.old):
            step.answers(changed)
        known = rendering.questions(rendering.show(self.source, "HEAD", "copier.yml"))
        changed = {name: value for name, value in changed.items() if name in known}
        if changed != answers:  # Copier reads them from there
            own = {k: v for k, v in yaml.safe_load(stored).items() if k.startswith("_")}
            text = yaml.safe_dump({**own, **changed}, allow_unicode=True, sort_keys=False)
            snapshot.begin()
            with self._restored_if_it_fails(snapshot):
                carried, kept = Entry(FILE, text.encode()), Kept(self.project)
                snapshot.cover(ANSWERS)
                snapshot.plan({ANSWERS: digest_of(carried)})
                was, becomes = {ANSWERS: Entry(FILE, stored)}, {ANSWERS: carried}
                write_tree(self.project, was, becomes, kept.add)
            tell_of_copies(kept.paths)
        return self.old != self.new or changed != answers

    def render(self, new_answers: Mapping[str, Any]) -> None:
        """Write both releases, as generated anew, into the snapshot's folder."""
        folder = Snapshot(self.project).folder
        old_answers = read_answers((folder / STORED).read_bytes())
        both = self._owners(old_answers)
        for name in (BASE, THEIRS):
            shutil.rmtree(folder / name, ignore_errors=True)
        rendering.render(self.source, self.old, old_answers, folder / BASE, both)
        draft = folder / "draft"
        rendering.render(self.source, "HEAD", new_answers, draft, both)
        draft.rename(folder / THEIRS)  # last: what is there is complete

    def after(self, answered: str) -> Report:
        """Merge the project with the new release.

        Args:
            answered: what Copier would write into its answers file.
        """
        snapshot = Snapshot(self.project)
        if not (snapshot.folder / STORED).is_file():
            raise SystemExit("error: the update has no beginning: tasks/update.py before")
        stored = Entry(FILE, (snapshot.folder / STORED).read_bytes())
        old_answers, new_answers = read_answers(stored.data), read_answers(answered)
        steps = migrations.due(self.source, self.old)
        base: Tree = {}
        theirs: Tree = {}
        if self.old != self.new or old_answers != new_answers:
            base, theirs = self._releases(snapshot, new_answers, answered)
        kept = Kept(self.project)
        snapshot.begin()
        with self._restored_if_it_fails(snapshot):
            mine = [path for each in self._owners(old_answers) for path in each.ours]
            before = read_tree(self.project, dict.fromkeys(mine))
            if digest_of(before.get(ANSWERS)) not in self._known_answers(snapshot, stored):
                kept.add(ANSWERS)
            ours = dict(before)
            if theirs:
                ours[ANSWERS] = base[ANSWERS] = stored
            for step in steps:
                step.files(base, ours, theirs)
            made = merge(base, ours, theirs, reporting.name(self.new))
            code, rewritten = self._migrate_code(steps)
            before, after = {**before, **code}, {**made.tree, **rewritten}
            changed = [*differences(before, after), *made.conflicts]
            snapshot.cover(*changed, ".env")
            snapshot.plan({path: digest_of(after.get(path)) for path in changed})
            write_tree(self.project, before, after, kept.add)
            mark_conflicts(self.project, made.conflicts, base, theirs)
            settings = update_env(self.project / ".env", new_answers, steps)
            snapshot.record_written([".env"] if settings else [])
            if AIRFLOW_LOCK in snapshot.state["written"]:
                snapshot.cover_environment(AIRFLOW)  # the next command brings it up to the lock
            news = changes(self.source, self.old)
            report = Report(self.old, self.new, made, [*code], settings, kept.paths, news)
            summary = report.markdown()
            (snapshot.folder / "summary.md").write_text(summary, encoding="utf-8")
            snapshot.save(phase="merged", conflicts=made.conflicts)
        return report

    def _known_answers(self, snapshot: Snapshot, stored: Entry) -> set[str]:
        """What the answers file may be by now, unless a person has changed it meanwhile."""
        carried = snapshot.state["written"].get(ANSWERS, "")
        return {digest_of(stored), digest_of(None), carried}

    def _owners(self, answers: Mapping[str, Any]) -> list[Owners]:
        """The classes of both releases: what either calls the user's is left alone."""
        return [rendering.owners_of(self.source, ref, answers) for ref in (self.old, "HEAD")]

    def _releases(
        self, snapshot: Snapshot, new_answers: Mapping[str, Any], answered: str
    ) -> tuple[Tree, Tree]:
        """The old and the new release as generated anew; rendered already, if all went well."""
        snapshot.wait()  # for the other process
        base, theirs = snapshot.folder / BASE, snapshot.folder / THEIRS
        answers = theirs / ANSWERS
        if not answers.exists() or read_answers(answers.read_bytes()) != new_answers:
            self.render(new_answers)
        trees = [
            read_tree(top, sorted(path.name for path in top.iterdir())) for top in (base, theirs)
        ]
        comments = re.findall(rb"(?m)^#.*\n", trees[1][ANSWERS].data)  # the rest is of a copy
        trees[1][ANSWERS] = Entry(FILE, b"".join([*comments, answered.encode()]))
        return trees[0], trees[1]

    def _migrate_code(self, steps: list[migrations.Step]) -> tuple[Tree, Tree]:
        """The user's tracked Python files and notebooks in which imports change: before, after."""
        steps = migrations.of_kind(steps, migrations.RenamedImport)
        before: Tree = {}
        after: Tree = {}
        if not steps:
            return before, after
        for path in git(self.project, "ls-files", "-z", "--", "*.py", "*.ipynb").split("\0"):
            file = self.project / path
            if file.is_symlink() or not file.is_file():
                continue
            entry = read_entry(file)
            data = entry.data
            for step in steps:
                data = step.code(path, data)
            if data != entry.data:
                before[path], after[path] = entry, Entry(entry.mode, data)
        return before, after

    @contextmanager
    def _restored_if_it_fails(self, snapshot: Snapshot) -> Iterator[None]:
        """Whatever goes wrong, the project is as it was.

        Raises:
            NotRestored: that, too, went wrong.
        """
        try:
            yield
        except BaseException:
            for number in INTERRUPTIONS:  # a second one must not stop this
                signal.signal(number, signal.SIG_IGN)
            try:
                tell_of_copies(snapshot.restore())
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


def tell_of_copies(paths: list[str]) -> None:
    """Name what a person wrote while the update ran."""
    for path in paths:
        sys.stderr.write(f"The later version is in {path}\n")


def interrupt(number: int, frame: object) -> NoReturn:
    """Turn a signal into an exception, so that the project is brought back."""
    raise SystemExit(128 + number)


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
    answers = cli.SwitchAttr("--answers", str, default="")

    def main(self, stage: str) -> int:
        for number in INTERRUPTIONS:
            if signal.getsignal(number) != signal.SIG_IGN:  # by nohup
                signal.signal(number, interrupt)
        update = Update(Path.cwd(), Path(str(self.source)), self.old, self.new)
        try:
            if stage == "before":
                if update.before():
                    self._render_in_background(update.project)
            elif stage == "render":
                update.render(read_answers((update.project / ANSWERS).read_bytes()))
            else:
                sys.stderr.write(update.after(str(self.answers)).text())
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
