"""Update a project: Copier runs this before and after it asks the questions.

Copier's own merge can lose work, so copier.yml lets it render nothing. `before` migrates the
answers, `render` renders both releases in the background, and `after` runs migrations and merges
(tasks/merging.py) into the project as it is by then. If anything fails, the project is restored.

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

from gaiaflow.project import environments
from gaiaflow.project.paths import StateFolder
from gaiaflow.update.snapshot import Kept, Snapshot

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
        """Migrate the project's answers; return whether there is anything to render."""
        stored = (self.project / ANSWERS).read_bytes()
        answers = read_answers(stored)
        refuse_links(self.project, self.source, self._owners(answers))
        refuse_old_python(self.project)
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
        """Render both releases into the snapshot's folder."""
        folder = Snapshot(self.project).folder
        old_answers = read_answers((folder / STORED).read_bytes())
        both = self._owners(old_answers)
        for name in (BASE, THEIRS):
            shutil.rmtree(folder / name, ignore_errors=True)
        rendering.render(self.source, self.old, old_answers, folder / BASE, both)
        draft = folder / "draft"
        rendering.render(self.source, "HEAD", new_answers, draft, both)
        draft.rename(folder / THEIRS)  # last: a sign that both are complete

    def after(self, answered: str) -> Report:
        """Merge the project with the new release.

        Args:
            answered: what Copier would write into its answers file.
        """
        snapshot = Snapshot(self.project)
        if not (snapshot.folder / STORED).is_file():
            raise SystemExit("error: No update was begun. Run the stage `before` first.")
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
            code, rewritten = self._migrate_code(steps, before, made.tree, theirs)
            before, after = {**before, **code}, {**made.tree, **rewritten}
            changed = [*differences(before, after), *made.conflicts]
            snapshot.cover(*changed, ".env")
            snapshot.plan({path: digest_of(after.get(path)) for path in changed})
            write_tree(self.project, before, after, kept.add)
            mark_conflicts(self.project, made.conflicts, base, theirs)
            settings = update_env(self.project / ".env", new_answers, steps)
            snapshot.record_written([".env"] if settings else [])
            if AIRFLOW_LOCK in snapshot.record.written:
                snapshot.cover_environment(AIRFLOW)  # the next command updates it to the lock
            news = changes(self.source, self.old)
            report = Report(self.old, self.new, made, [*rewritten], settings, kept.paths, news)
            summary = report.markdown()
            (snapshot.folder / "summary.md").write_text(summary, encoding="utf-8")
            snapshot.save(phase="merged", conflicts=made.conflicts)
        return report

    def _known_answers(self, snapshot: Snapshot, stored: Entry) -> set[str]:
        """The digests that the answers file may have, unless the user has changed it meanwhile."""
        carried = snapshot.record.written.get(ANSWERS, "")
        return {digest_of(stored), digest_of(None), carried}

    def _owners(self, answers: Mapping[str, Any]) -> list[Owners]:
        """The classes of both releases: a path that either assigns to the user is left alone."""
        return [rendering.owners_of(self.source, ref, answers) for ref in (self.old, "HEAD")]

    def _releases(
        self, snapshot: Snapshot, new_answers: Mapping[str, Any], answered: str
    ) -> tuple[Tree, Tree]:
        """The old and the new release as generated, which `render` has usually done already."""
        snapshot.wait()  # for the background process
        base, theirs = snapshot.folder / BASE, snapshot.folder / THEIRS
        answers = theirs / ANSWERS
        if not answers.exists() or read_answers(answers.read_bytes()) != new_answers:
            self.render(new_answers)
        trees = [
            read_tree(top, sorted(path.name for path in top.iterdir())) for top in (base, theirs)
        ]
        comments = re.findall(rb"(?m)^#.*\n", trees[1][ANSWERS].data)  # the rest comes from Copier
        trees[1][ANSWERS] = Entry(FILE, b"".join([*comments, answered.encode()]))
        return trees[0], trees[1]

    def _migrate_code(
        self, steps: list[migrations.Step], ours: Tree, merged: Tree, theirs: Tree
    ) -> tuple[Tree, Tree]:
        """Python files and notebooks whose imports change, before and after.

        These are the user's tracked files, and the release's files that the user has edited.
        """
        steps = migrations.of_kind(steps, migrations.RenamedImport)
        before: Tree = {}
        after: Tree = {}
        if not steps:
            return before, after
        for path in git(self.project, "ls-files", "-z", "--", "*.py", "*.ipynb").split("\0"):
            file = self.project / path
            if path in ours or file.is_symlink() or not file.is_file():
                continue
            before[path] = read_entry(file)
        edited = {path: entry for path, entry in merged.items() if entry != theirs.get(path)}
        for path, entry in {**edited, **before}.items():
            data = entry.data
            if path.endswith((".py", ".ipynb")):
                for step in steps:
                    data = step.code(path, data)
            if data != entry.data:
                after[path] = Entry(entry.mode, data)
        return {path: before[path] for path in after if path in before}, after

    @contextmanager
    def _restored_if_it_fails(self, snapshot: Snapshot) -> Iterator[None]:
        """Restore the project if anything fails.

        Raises:
            NotRestored: restoring it failed too.
        """
        try:
            yield
        except BaseException:
            for number in INTERRUPTIONS:  # a second one must not interrupt this
                signal.signal(number, signal.SIG_IGN)
            try:
                tell_of_copies(snapshot.restore())
                snapshot.discard()
            except Exception as error:
                raise NotRestored(str(error)) from error
            raise


class NotRestored(Exception):
    """An update failed, and the project could not be restored."""


def refuse_links(project: Path, source: Path, both: list[Owners]) -> None:
    """Refuse framework folders that are links: the update would write to their targets.

    Raises:
        SystemExit: a folder is a link.
    """
    listed = git(source, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", "template").split("\0")
    paths = [path.removeprefix("template/").removesuffix(".jinja") for path in listed]
    ours = [path for path in paths if not any(owners.is_theirs(path) for owners in both)]
    for folder in sorted({parent for path in ours for parent in Path(path).parents}):
        if (project / folder).is_symlink() and (project / folder).is_dir():
            raise SystemExit(
                f"error: {folder} is a link, so the update would write to its target.\n"
                "Replace it with a folder that contains the files, commit, and update again."
            )


def refuse_old_python(project: Path) -> None:
    """Refuse an Airflow environment in which the new release's commands could not run.

    Raises:
        SystemExit: its Python is too old.
    """
    folder = StateFolder(project).airflow
    version = environments.python_of(folder)
    if version and version < environments.OLDEST:
        shown, oldest = (".".join(map(str, each)) for each in (version, environments.OLDEST))
        raise SystemExit(
            f"error: Airflow's environment has Python {shown}, and this release needs {oldest} or "
            "newer. Nothing has changed.\n"
            "Stop the services, create it again with a newer Python, and then update:\n"
            "    python3 mlops_manager.py stop\n"
            "    rm -r .gaiaflow/airflow    # your data is elsewhere\n"
            "    python3.13 mlops_manager.py status"
        )


def mark_conflicts(project: Path, paths: list[str], base: Tree, theirs: Tree) -> None:
    """Record the conflicts in git as `git merge` would: the three versions of each file."""
    prefix = git(project, "rev-parse", "--show-prefix").strip()
    lines = []
    for path in paths:
        tracked = git(project, "ls-files", "--stage", "-z", "--", path).rstrip("\0")
        if not tracked:
            continue  # ignored by git: only the markers and the report show it
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
    """Name the copies of files that the user edited while the update ran."""
    for path in paths:
        sys.stderr.write(f"The later version is in {path}\n")


def interrupt(number: int, frame: object) -> NoReturn:
    """Turn a signal into an exception, which restores the project."""
    raise SystemExit(128 + number)


def hash_object(project: Path, data: bytes) -> str:
    """Store a version of a file in git and return its object name."""
    command = ["git", "-C", str(project), "hash-object", "-w", "--stdin"]  # plumbum feeds text only
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


def git(project: Path, *arguments: str) -> str:
    """Run git in the project."""
    return str(local["git"]["-C", str(project)](*arguments))


# --- The command line ----------------------------------------------------------------------------


class Stage(cli.Application):
    """Run one stage of an update."""

    source = cli.SwitchAttr("--source", cli.ExistingDirectory, mandatory=True)
    old = cli.SwitchAttr("--from", str, mandatory=True)
    new = cli.SwitchAttr("--to", str, mandatory=True)
    answers = cli.SwitchAttr("--answers", str, default="")

    def main(self, stage: str) -> int:
        for number in INTERRUPTIONS:
            if signal.getsignal(number) != signal.SIG_IGN:  # under nohup
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
                f"error: The update failed, and the project could not be restored: {error}\n"
                "Fix the cause (a full disk?), then run: python3 .gaiaflow/update/undo.py\n"
            )
            return 1
        except Exception as error:
            reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()
            sys.stderr.write(
                f"error: The update failed, and the project is unchanged.\n{reason}\n"
                "Please report this at https://github.com/bcdev/gaiaflow/issues\n"
            )
            if os.environ.get("GAIAFLOW_TRACEBACK"):
                raise
            return 1
        return 0

    def _render_in_background(self, project: Path) -> None:
        """Render both releases while Copier works; `after` waits for the lock."""
        snapshot = Snapshot(project)
        lock = snapshot.lock.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            return  # a file system without locks: `after` renders them itself
        options = [f"--source={self.source}", f"--from={self.old}", f"--to={self.new}"]
        with (snapshot.folder / LOG).open("w") as log:
            subprocess.Popen(  # outlives this process, and holds the lock until it ends
                [sys.executable, __file__, *options, "render"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
            )


if __name__ == "__main__":
    Stage.run()
