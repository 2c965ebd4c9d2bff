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
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "template")]  # this release's own framework

import yaml
from plumbum import cli, local

from gaiaflow.snapshot import Snapshot

from tasks import migrations, rendering, reporting
from tasks.merging import Merge, Tree, merge, read_entry, read_tree, write_tree
from tasks.rendering import ANSWERS, read_answers
from tasks.settings import update_env

PROJECT = Path.cwd()
BASE, THEIRS, LOG = "base", "theirs", "rendering.log"
AIRFLOW, AIRFLOW_LOCK = ".gaiaflow/airflow", "gaiaflow/locks/airflow.txt"
GENERATED = [".env", "uv.lock", "pixi.lock"]  # of the generated files, those that may be changed


class Update(cli.Application):
    """Keep what Copier would lose."""


class Stage(cli.Application):
    """What all stages are told."""

    source = cli.SwitchAttr("--source", cli.ExistingDirectory, mandatory=True)
    old = cli.SwitchAttr("--from", str, mandatory=True)
    new = cli.SwitchAttr("--to", str, mandatory=True)

    @property
    def template(self) -> Path:
        """The new release, as Copier has cloned it."""
        return Path(str(self.source))


@Update.subcommand("before")
class Before(Stage):
    """Save the project, carry answers along, and begin to render."""

    def main(self) -> int:
        stored = (PROJECT / ANSWERS).read_bytes()
        answers = read_answers(stored)
        both = [rendering.owners_of(self.template, ref, answers) for ref in (self.old, "HEAD")]
        paths = [path for owners in both for path in owners.ours]
        snapshot = Snapshot.take(PROJECT, [*paths, *GENERATED])
        snapshot.save(**{"from": self.old, "to": self.new})
        with restored_if_it_fails(snapshot):
            steps = migrations.due(self.template, self.old)
            changed = migrate_answers(answers, steps)
            if changed != answers:
                own = {k: v for k, v in yaml.safe_load(stored).items() if k.startswith("_")}
                text = yaml.safe_dump({**own, **changed}, allow_unicode=True, sort_keys=False)
                (PROJECT / ANSWERS).write_text(text, encoding="utf-8")
        if self.old != self.new or changed != answers:
            self._render_in_background(snapshot)
        return 0

    def _render_in_background(self, snapshot: Snapshot) -> None:
        """Render both releases while Copier does its work; `after` waits for the lock."""
        lock = snapshot.lock.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, __file__, "render", f"--source={self.source}"]
        with (snapshot.folder / LOG).open("w") as log:
            subprocess.Popen(  # goes on when this ends; the lock is free when it ends
                [*command, f"--from={self.old}", f"--to={self.new}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock.fileno()],
            )


@Update.subcommand("render")
class Render(Stage):
    """Render both releases, with the answers as they are when this begins."""

    def main(self) -> int:
        snapshot = Snapshot(PROJECT)
        render(snapshot, self.template, self.old, read_answers((PROJECT / ANSWERS).read_bytes()))
        return 0


@Update.subcommand("after")
class After(Stage):
    """Bring the project back, merge it with the new release, and say what was done."""

    def main(self) -> int:
        snapshot = Snapshot(PROJECT)
        if not snapshot:
            raise SystemExit("error: the project was not saved before the update")
        with restored_if_it_fails(snapshot):
            answered = read_entry(PROJECT / ANSWERS)
            snapshot.restore()
            before = snapshot.saved(ANSWERS) or b""
            old_answers, new_answers = read_answers(before), read_answers(answered.data)
            steps = migrations.due(self.template, self.old)
            made = Merge({})
            if self.old != self.new or old_answers != new_answers:
                base, theirs = self._releases(snapshot, new_answers)
                theirs[ANSWERS] = answered
                made = self._merge(snapshot, base, theirs, steps)
            code = migrate_code(snapshot, steps)
            settings = update_env(PROJECT / ".env", steps)
            written = [*snapshot.state["written"], *code, *([".env"] if settings else [])]
            snapshot.record_written(written)
            if AIRFLOW_LOCK in written:
                snapshot.cover_environment(AIRFLOW)  # the next command brings it up to the lock
            report = reporting.Report(
                old=self.old,
                new=self.new,
                merge=made,
                code=code,
                settings=settings,
                changes=reporting.changes(self.template, self.old),
            )
            (snapshot.folder / "summary.md").write_text(report.markdown(), encoding="utf-8")
            snapshot.save(phase="merged", conflicts=made.conflicts)
        sys.stderr.write(report.text(PROJECT))
        return 0

    def _releases(self, snapshot: Snapshot, new_answers: Mapping[str, Any]) -> tuple[Tree, Tree]:
        """The old and the new release as generated anew; rendered already, if all went well."""
        snapshot.wait()  # for the other process
        folders = [snapshot.folder / name for name in (BASE, THEIRS)]
        answers = folders[1] / ANSWERS
        if not answers.exists() or read_answers(answers.read_bytes()) != new_answers:
            render(snapshot, self.template, self.old, new_answers)
        trees = [
            read_tree(folder, sorted(path.name for path in folder.iterdir())) for folder in folders
        ]
        for tree in trees:
            tree.pop(ANSWERS, None)
        return trees[0], trees[1]

    def _merge(
        self, snapshot: Snapshot, base: Tree, theirs: Tree, steps: list[migrations.Step]
    ) -> Merge:
        paths = snapshot.state["paths"]
        before = read_tree(PROJECT, [path for path in paths if path not in GENERATED])
        ours = dict(before)
        base[ANSWERS] = ours[ANSWERS]
        for step in steps:
            step.files(base, ours, theirs)
        made = merge(base, ours, theirs, reporting.name(self.new))
        snapshot.cover(*(made.tree.keys() - before.keys()))
        written = write_tree(PROJECT, before, made.tree)
        snapshot.record_written(written)
        mark_conflicts(made.conflicts, base, theirs)
        return made


def render(snapshot: Snapshot, source: Path, old: str, new_answers: Mapping[str, Any]) -> None:
    """Write the old and the new release into the snapshot's folder."""
    old_answers = read_answers(snapshot.saved(ANSWERS) or b"")
    both = [rendering.owners_of(source, ref, old_answers) for ref in (old, "HEAD")]
    for name in (BASE, THEIRS):
        local["rm"]("-rf", str(snapshot.folder / name))
    rendering.render(source, old, old_answers, snapshot.folder / BASE, both)
    draft = snapshot.folder / "draft"
    rendering.render(source, "HEAD", new_answers, draft, both)
    draft.rename(snapshot.folder / THEIRS)  # last: what is there is complete


def migrate_answers(answers: Mapping[str, Any], steps: list[migrations.Step]) -> dict[str, Any]:
    """The answers for the new release's questions."""
    changed = dict(answers)
    for step in steps:
        step.answers(changed)
    return changed


def migrate_code(snapshot: Snapshot, steps: list[migrations.Step]) -> list[str]:
    """Rewrite imports in the user's tracked Python files and notebooks; the changed paths."""
    steps = migrations.of_kind(steps, migrations.RenamedImport)
    if not steps:
        return []
    changed = []
    listed = local["git"]["ls-files", "-z", "--", "*.py", "*.ipynb"]()
    for path in filter(None, listed.split("\0")):
        file = PROJECT / path
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


def mark_conflicts(paths: list[str], base: Tree, theirs: Tree) -> None:
    """Tell git of the conflicts, as a merge of git's own would: the three versions of each."""
    git = local["git"]
    prefix = git("rev-parse", "--show-prefix").strip()
    lines = []
    for path in paths:
        tracked = git("ls-files", "--stage", "-z", "--", path).rstrip("\0")
        if not tracked:
            continue  # ignored by git: the markers and the report have to do
        mode, blob, _ = tracked.partition("\t")[0].split()
        stages = [(mode, blob, 2)]
        for tree, stage in ((base, 1), (theirs, 3)):
            if entry := tree.get(path):
                stages.append((entry.mode, hash_object(entry.data), stage))
        lines.append(f"0 {'0' * len(blob)}\t{prefix}{path}\0")
        lines += [
            f"{mode} {blob} {stage}\t{prefix}{path}\0" for mode, blob, stage in sorted(stages)
        ]
    if lines:
        (git["update-index", "-z", "--index-info"] << "".join(lines))()


def hash_object(data: bytes) -> str:
    """Store a version of a file in git; its name there."""
    done = subprocess.run(  # plumbum feeds text only
        ["git", "hash-object", "-w", "--stdin"], input=data, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


@contextmanager
def restored_if_it_fails(snapshot: Snapshot) -> Iterator[None]:
    """Whatever goes wrong, the project is as it was."""
    try:
        yield
    except BaseException as error:
        snapshot.save(phase="started")
        snapshot.restore()
        snapshot.discard()
        if isinstance(error, Exception):
            reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}").strip()
            sys.stderr.write(
                f"error: the update failed, and the project is as it was before.\n{reason}\n"
                "Please report this: https://github.com/bcdev/gaiaflow/issues\n"
            )
            if os.environ.get("GAIAFLOW_TRACEBACK"):
                raise
            raise SystemExit(1) from None
        raise


if __name__ == "__main__":
    Update.run()
