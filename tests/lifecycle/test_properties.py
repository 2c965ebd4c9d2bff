"""Whatever users did to a project, an update loses nothing and brings what the release has.

Random cases run in two ways: with Copier, as users update, and with only our tasks before and
after Copier's questions, which is much faster.

GAIAFLOW_CASES sets the number of cases (default: 72; two of three with Copier; every test runs at
least one). GAIAFLOW_SEED chooses other cases than CI's. GAIAFLOW_SHRINK=no shows a failing case as
found, instead of shrinking it, which takes minutes:

    GAIAFLOW_CASES=1000 GAIAFLOW_SEED=7 python -m pytest tests/lifecycle -n 2 --slow=all -k nothing
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from copier import run_update
from hypothesis import HealthCheck, Phase, given, seed, settings
from pathspec import GitIgnoreSpec

from gaiaflow.update.snapshot import Snapshot

from tasks.migrations import RenamedImport
from tasks.ownership import owners
from tasks.rendering import ANSWERS, questions, read_answers, show
from tasks.update import Update
from tests.lifecycle import synthetic
from tests.lifecycle.conftest import PRESENT, RELEASES, History, commit, git
from tests.lifecycle.edits import SEED, Edit, answers, edits, env_values

CASES = int(os.environ.get("GAIAFLOW_CASES", "72"))
PAIRS = [
    *((release, PRESENT) for release in RELEASES),
    *((release, synthetic.NEW) for release in RELEASES),
    (PRESENT, synthetic.NEW),
    (synthetic.OLD, synthetic.NEW),
    (PRESENT, PRESENT),
    (synthetic.OLD, synthetic.NEW),  # again, because most can happen here
]
OLDER = [*RELEASES][:-1]
SLOW = [number for number, pair in enumerate(PAIRS) if pair[0] in OLDER or number >= len(PAIRS) - 2]
# Shrinking a failing case takes minutes; "no" shows it as found.
SHRINK = os.environ.get("GAIAFLOW_SHRINK", "yes") != "no"
PHASES = [Phase.generate, Phase.shrink] if SHRINK else [Phase.generate]
CHUNKS = 4  # of each pair, to run in parallel

MOVED = {
    "gaiaflow/made_up/moved.py": "gaiaflow/made_up/deeper/relocated.py",
    "gaiaflow/made_up/folder/one.py": "gaiaflow/made_up/folder_renamed/one.py",
    "gaiaflow/made_up/folder/two.py": "gaiaflow/made_up/folder_renamed/two.py",
    ".github/workflows/made_up.yml": ".github/workflows/made_up_renamed.yml",
}
SPLIT = {
    "gaiaflow/made_up/split.py": ["gaiaflow/made_up/split.py", "gaiaflow/made_up/part.py"],
    "gaiaflow/made_up/halves.py": ["gaiaflow/made_up/one.py", "gaiaflow/made_up/two.py"],
}
IMPORT = RenamedImport("gaiaflow.made_up.moved", "gaiaflow.made_up.deeper.relocated")

State = dict[str, tuple[str, bytes]]


def state_of(folder: Path) -> State:
    """Everything in a project except git, caches and the update's own files."""
    found: State = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith((".git/", ".gaiaflow/")) or "__pycache__" in name:
            continue
        if path.is_symlink():
            found[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            program = path.stat().st_mode & stat.S_IXUSR
            found[name] = ("program" if program else "file", path.read_bytes())
    return found


def lines_of(entry: tuple[str, bytes] | None) -> set[bytes]:
    return {line.strip() for line in entry[1].splitlines()} - {b""} if entry else set()


def new_paths(path: str, to: str) -> list[str]:
    """Where a file's content is after an update: the same place, another one, or several."""
    if to != synthetic.NEW:
        return [path]
    return [path, *([MOVED[path]] if path in MOVED else []), *SPLIT.get(path, [])]


def report_of(project: Path) -> dict[str, list[str]]:
    """The paths in the summary, by the first word of their title."""
    text = (project / ".gaiaflow" / "update" / "summary.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for title, listed in re.findall(r"(?m)^\*\*(\w+).*\*\*\n\n((?:- `.*`\n)+)", text):
        found[title.lower()] = re.findall(r"- `(.*)`\n", listed)
    return found


def update(project: Path, to: str) -> None:
    run_update(str(project), vcs_ref=to, defaults=True, overwrite=True, unsafe=True, quiet=True)


def update_without_copier(history: History, pair: tuple[str, str], project: Path) -> None:
    """Do what tasks/update.py does, with releases that are already rendered."""
    old, new = pair
    chosen = dict(read_answers((project / ANSWERS).read_bytes()))
    work = Update(project, history.checkout(new), old, new)
    work.before()
    snapshot = Snapshot(project)
    migrated = read_answers((project / ANSWERS).read_bytes())
    for name, release, answered in (("base", old, chosen), ("theirs", new, migrated)):
        made = history.generated(release, **answered)
        folder = snapshot.folder / name
        shutil.copytree(made, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", ".env"))
        both = [owners(git(history.path, "show", f"{ref}:copier.yml"), chosen) for ref in pair]
        for path in state_of(folder):
            if any(each.is_theirs(path) for each in both):
                (folder / path).unlink()
    text = (snapshot.folder / "theirs" / ANSWERS).read_text(encoding="utf-8")
    work.after(re.sub(r"(?m)^#.*\n", "", text))


class Lost(AssertionError):
    """One of the user's lines is gone."""


def check(
    history: History,
    folder: Path,
    pair: tuple[str, str],
    chosen: Mapping[str, Any],
    edited: list[Edit],
    env: Mapping[str, str],
    with_copier: bool = True,
) -> None:
    """Generate, edit, commit and update; then check everything that must hold."""
    old, new = pair
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    asked_by_old = questions(show(history.path, old, "copier.yml"))  # later releases may ask more
    chosen = {name: answer for name, answer in chosen.items() if name in asked_by_old}
    project = history.generate(old, folder / "project", **chosen)
    pristine = state_of(project)
    for edit in edited:
        edit.apply(project)
    env_file = project / ".env"
    text = env_file.read_text(encoding="utf-8")
    for name, value in env.items():
        text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        text += "" if found else f"{name}={value}\n"
    env_file.write_text(text, encoding="utf-8")
    commit(project, "our work")
    assert git(project, "status", "--porcelain") == ""
    before, head = state_of(project), git(project, "rev-parse", "HEAD")
    index = git(project, "ls-files", "--stage")

    if with_copier:
        update(project, new)
    else:
        update_without_copier(history, pair, project)

    after, report = state_of(project), report_of(project)
    conflicts = report.get("conflict", [])
    config = git(history.path, "show", f"{new}:copier.yml")
    classes = owners(config, chosen)
    theirs = GitIgnoreSpec.from_lines([*classes.user, *classes.generated])
    asked = read_answers(after[ANSWERS][1])
    fresh = state_of(history.generated(new, **asked))

    assert git(project, "rev-parse", "HEAD") == head
    for path, entry in before.items():  # nothing is lost
        if path == ".env":
            continue
        expected = (entry[0], IMPORT.code(path, entry[1]) if new == synthetic.NEW else entry[1])
        if theirs.match_file(path):
            assert after.get(path) in (entry, expected), f"{path} is the user's, but was changed"
            continue
        if path == ".copier-answers.yml":
            continue
        places = [after.get(place) for place in new_paths(path, new)]
        if entry[0] == "link" or b"\0" in entry[1]:
            if entry != pristine.get(path) and entry not in places:
                raise Lost(f"{path}: the user's binary file or link is lost")
            continue
        written = lines_of(entry) - lines_of(pristine.get(path))
        seen = {line for place in places for line in lines_of(place)}
        if missing := written - seen:
            raise Lost(f"{path}: {missing} is lost")
    assert {path for path in after if theirs.match_file(path)} == {
        path for path in before if theirs.match_file(path)
    }, "an update added or removed one of the user's files"
    for path in pristine.keys() - before.keys():  # deleted files stay deleted
        for place in new_paths(path, new)[:2]:
            if place not in before and (place == path or place not in pristine):
                shared = [source for source, parts in SPLIT.items() if place in parts]
                if not any(source in before for source in shared):
                    assert place not in after or place in before, f"{place} came back"
    for path in conflicts:  # conflicts in the summary are conflicts for git too
        kind, data = after[path]
        assert b"<<<<<<< yours" in data or b"\0" in data or kind == "link" or path in before
    unmerged = {
        line.split("\t")[1] for line in git(project, "ls-files", "-u", "-z").split("\0") if line
    }
    assert unmerged <= set(conflicts)
    assert {path for path in conflicts if path in unmerged or ignored(project, path)} == set(
        conflicts
    )
    for path, entry in fresh.items():  # unedited files are as in the release
        if theirs.match_file(path):
            continue
        sources = [path]
        if new == synthetic.NEW:
            sources += [source for source, target in MOVED.items() if target == path]
            sources += [source for source, parts in SPLIT.items() if path in parts]
        if all(before.get(source) == pristine.get(source) for source in sources):
            assert after.get(path) == entry, f"{path} is not as in the release"
    for path, entry in pristine.items():
        if path not in fresh and not theirs.match_file(path) and before.get(path) == entry:
            assert path not in after, f"{path} is not in the release"
    made_up = new == synthetic.NEW and with_copier  # otherwise, settings are this tree's
    check_env(before[".env"][1].decode(), after[".env"][1].decode(), new, made_up)

    copied = folder / "aborted"  # aborting restores every byte
    shutil.copytree(project, copied, symlinks=True)
    Snapshot(copied).abort()
    assert state_of(copied) == before
    assert git(copied, "ls-files", "--stage") == index
    assert git(copied, "status", "--porcelain") == ""

    if with_copier and len(edited) % 6 == 0:  # as expensive as everything above
        commit(project, "updated")
        before = state_of(project)
        update(project, new)  # a second update changes nothing
        assert state_of(project) == before
        assert git(project, "status", "--porcelain") == ""


def ignored(project: Path, path: str) -> bool:
    return git(project, "ls-files", "--", path) == ""


def check_env(before: str, after: str, new: str, made_up: bool) -> None:
    """Values stay, and the release's settings are all there."""

    def read(text: str) -> dict[str, str]:
        return dict(re.findall(r"(?m)^(\w+)=(.*)$", text))

    names = {"MADE_UP_OLD": "MADE_UP_NEW"} if new == synthetic.NEW else {}
    values = read(after)
    for name, value in read(before).items():
        if name != "MADE_UP_DROPPED":
            assert values[names.get(name, name)] == value
    if made_up:
        assert re.fullmatch(r"\w{64}", values["MADE_UP_SECRET"])
        assert len({v for k, v in values.items() if k.endswith("_PORT")}) == sum(
            k.endswith("_PORT") for k in values
        )


@pytest.mark.parametrize(
    "chunk", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, CHUNKS))]
)
@pytest.mark.parametrize("with_copier", [True, False], ids=["copier", "tasks"])
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id="-".join(pair), marks=pytest.mark.slow if number in SLOW else ())
        for number, pair in enumerate(PAIRS)
    ],
)
def test_an_update_loses_nothing(
    history: History,
    tmp_path: Path,
    number: int,
    with_copier: bool,
    chunk: int,
    request: pytest.FixtureRequest,
) -> None:
    share = len(PAIRS) * CHUNKS
    mine = number * CHUNKS + chunk
    wanted = CASES - CASES // 3 if with_copier else CASES // 3
    tried = lost = 0

    @seed(SEED * share + mine)
    @settings(
        max_examples=max(wanted // share + (mine < wanted % share), 1),
        deadline=None,
        database=None,
        phases=PHASES,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(chosen=answers, edited=edits, env=env_values)
    def cases(chosen: dict[str, Any], edited: list[Edit], env: dict[str, str]) -> None:
        nonlocal tried, lost
        tried += 1
        try:
            check(history, tmp_path / "case", PAIRS[number], chosen, edited, env, with_copier)
        except Lost:
            lost += 1
            raise

    try:
        cases()
    finally:
        cases_of = "with Copier" if with_copier else "by our tasks"
        request.node.user_properties += [(f"cases {cases_of}", tried), ("lost", lost)]
