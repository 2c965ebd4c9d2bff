"""Bring an existing repository under the template: `python tasks/adopt.py PROJECT`.

Run it from a clone of this repository, with the Python that has Copier. The project may come from
the original cookiecutter, or be any repository with a Python package.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "template")]
if missing := [name for name in ("copier", "libcst", "plumbum", "tomlkit") if not find_spec(name)]:
    sys.exit(
        f"error: {sys.executable} lacks {' and '.join(missing)}. To install what is missing, run:\n"
        f"{sys.executable} -m pip install --upgrade {REPOSITORY}"
    )

from pathspec import GitIgnoreSpec
from plumbum import CommandNotFound, ProcessExecutionError, cli, local

from gaiaflow.project import envfile, settings
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.update.snapshot import Snapshot, copy

from tasks.adoption import (
    conda,
    dags,
    guessing,
    layout,
    licences,
    original,
    project,
    sources,
    task_factory,
)
from tasks.adoption.declared import Declared, Merged
from tasks.merging import Entry, Tree, digest_of, read_tree, same, same_lines, write_tree
from tasks.ownership import Owners, owners
from tasks.rendering import ANSWERS, read_answers
from tasks.settings import identity_of

DONE, FAILED, WRONG_USE, LOOK = 0, 1, 2, 3
SAVED = ".gaiaflow/adopted"
# The tests of tests/test_dags.py that check more than whether DAGs load.
STRICT_TESTS = re.compile(rb"(?m)^(?=def test_(tasks|functions)_)")
SKIP = b'@pytest.mark.skip(reason="existing DAGs may fail; delete this line to test them too")\n'
PLACES = ["/dags", "/notebooks/README.md", "/tests", "/environment.y*ml", "/pixi.toml", "/.env"]
YAML_LOADER = "dags/yaml_pipelines.py"
# The user files that every project needs, and the names that people give them.
WANTED = {
    "README.md": ["README*"],
    "CHANGES.md": ["CHANGE*", "HISTORY*", "NEWS*"],
    "LICENSE": ["LICEN[CS]E*", "COPYING*", "UNLICENSE*"],
    "tests/test_dags.py": ["tests/test_dags.py"],
    "data/README.md": ["data/README*"],
}


class CannotAdopt(Exception):
    """The repository can't be adopted as it is. The message says what to do."""


@dataclass
class Plan:
    """What adoption does to a repository."""

    answers: dict[str, Any]
    source: str  # what the repository is
    found: list[Declared] = field(default_factory=list)  # what its files declare
    before: Tree = field(default_factory=dict)
    after: Tree = field(default_factory=dict)
    moved_out: dict[str, str] = field(default_factory=dict)  # path -> why
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The plan for a terminal: what is new, changed or moved out, and what to review."""
        new = sorted(self.after.keys() - self.before.keys())
        changed = sorted(
            p for p in self.after if p in self.before and self.after[p] != self.before[p]
        )
        folders = sorted({path.split("/")[0] for path in new})
        lines = [f"{self.source}", "", "Answers:"]
        lines += [f"  {name}: {value}" for name, value in self.answers.items()]
        lines += ["", f"New: {len(new)} files in {', '.join(folders)}"]
        lines += ["", "Changed:", *(f"  {path}" for path in changed)] if changed else []
        if self.moved_out:
            lines += ["", f"Moved out to {SAVED}/:"]
            lines += [f"  {path}{why and f'  ({why})'}" for path, why in self.moved_out.items()]
        lines += ["", "Look at:", *(f"  {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"


class Adopt(cli.Application):
    """Bring an existing repository under the Gaiaflow template, and keep all of your work."""

    PROGNAME = "python tasks/adopt.py"
    DESCRIPTION_MORE = """
The project must be in git, with nothing uncommitted. Files that are moved out or changed stay in
git and in .gaiaflow/adopted/. To undo everything, run `python3 .gaiaflow/update/undo.py` in the
project.

Exit codes: 0 done, 1 failed (nothing was changed), 2 wrong use, 3 done, with notes to review.
"""

    dry_run = cli.Flag("--dry-run", help="only show the plan")
    original = cli.SwitchAttr(
        "--original", cli.ExistingDirectory, help="a clone of the original cookiecutter"
    )
    template = cli.SwitchAttr(
        "--template", str, help="URL or clone that updates come from (default: this clone's origin)"
    )
    data = cli.SwitchAttr(
        ["-d", "--data"],
        str,
        list=True,
        argname="NAME=VALUE",
        help="an answer, to correct a guess",
    )

    def main(self, project: str) -> int:
        root = Path(project).resolve()
        if not root.is_dir():
            say(f"error: The folder {root} doesn't exist.")
            return WRONG_USE
        try:
            given = dict(entry.split("=", 1) for entry in self.data)
            check(root)
            with original_clone(self.original, root) as clone, TemporaryDirectory() as folder:
                template = str(self.template or REPOSITORY)
                plan = make_plan(root, given, clone, template, Path(folder))
                if not self.template:
                    _update_from_origin(plan)
                say(plan.text())
                if self.dry_run:
                    say("Nothing was changed (--dry-run).")
                    return DONE
                carry_out(root, plan)
        except (CannotAdopt, GaiaflowError, ProcessExecutionError, CommandNotFound) as error:
            say(f"error: {error}\nNothing was changed.")
            return FAILED
        say(
            "Adopted. Next steps:\n"
            f"  cd {root}\n"
            "  git diff                                     # review the changes\n"
            "  python3 mlops_manager.py deps                # create the environment\n"
            "  git add --all && git commit -m 'Adopt Gaiaflow'\n"
            "  python3 mlops_manager.py start\n"
            "To undo everything: python3 .gaiaflow/update/undo.py"
        )
        return LOOK if plan.notes else DONE


def check(root: Path) -> None:
    """Refuse what can't be adopted.

    Raises:
        CannotAdopt: with what to do.
    """
    if (root / ANSWERS).exists():
        raise CannotAdopt(
            f"{root} is a Gaiaflow project. Update it instead: python3 mlops_manager.py update"
        )
    code, _, _ = local["git"]["-C", str(root), "rev-parse", "--show-toplevel"].run(retcode=None)
    if code:
        raise CannotAdopt(
            f"{root} is not in a git repository, so adoption couldn't be undone. Create one:\n"
            "git init && git add --all && git commit -m 'Before Gaiaflow'"
        )
    if changed := git(root, "status", "--porcelain", "--", ".").splitlines():
        raise CannotAdopt(
            f"There are {len(changed)} uncommitted changes, such as {changed[0][3:]}.\n"
            "Commit them: git add --all && git commit -m 'Before Gaiaflow'"
        )
    if not git(root, "rev-list", "--all", "--max-count=1"):
        raise CannotAdopt(
            "The repository has no commits yet. Make one: git commit -m 'Before Gaiaflow'"
        )


@contextmanager
def original_clone(given: Any, root: Path) -> Iterator[Path | None]:
    """A clone of the original, if the project comes from it and it can be cloned."""
    if given or not original.looks_original(root):
        yield Path(str(given)) if given else None
        return
    with TemporaryDirectory() as folder:
        say(f"Cloning {original.URL} ...")
        try:
            subprocess.run(
                ["git", "clone", "--quiet", original.URL, folder],
                check=True,
                timeout=60,
                capture_output=True,
                env={**local.env, "GIT_TERMINAL_PROMPT": "0"},
            )
        except (subprocess.SubprocessError, OSError):
            say(
                "It can't be reached, so your changes can't be told from what it generated, and\n"
                "all of your side is kept. If you have a clone, use --original CLONE."
            )
            yield None
            return
        yield Path(folder)


def make_plan(
    root: Path, given: dict[str, str], clone: Path | None, template: str, folder: Path
) -> Plan:
    """Find out what the repository is and what to do, without changing anything."""
    found = sources.read(root)
    try:
        name = str(project.combined(found).project.get("name", ""))
        place = layout.find(root, name, given.get("package_name", ""))
    except layout.NoPackage as error:
        raise CannotAdopt(str(error)) from None
    answers = {**guessing.answers(root, found, place), **given}
    is_original = original.looks_original(root)
    base: dict[str, bytes] = {}
    source = "A repository with a Python package."
    if is_original:
        source = "A project of the original cookiecutter, tag unknown."
        made = original.find(clone, root, original_answers(root, answers)) if clone else None
        if made:
            base, source = made.files, f"A project of the original cookiecutter, {made.tag}."
    rendered = render(template, answers, folder / "rendered")
    config = (REPOSITORY / "copier.yml").read_text(encoding="utf-8")
    whose = owners(config, answers)
    plan = Plan(answers, source, sources.read(root, base))
    new = read_tree(rendered, sorted(path.name for path in rendered.iterdir()))
    adapted = layout.adapt(new["pyproject.toml"].data.decode(), place)
    new["pyproject.toml"] = Entry(new["pyproject.toml"].mode, adapted.encode())
    plan.before = read_tree(root, sorted(concerned(root, new)))
    plan.after = dict(plan.before)
    if is_original and not base:
        plan.notes.append(f"{SAVED}: the files moved there may contain your changes")
    if git(root, "rev-parse", "--show-prefix").strip():
        plan.notes.append(".github: GitHub runs workflows from the top level of a repository only")
    if not place.inside:
        plan.notes += [
            f"{each}: also a package, but neither the distribution nor the image includes it; "
            f"add it to [tool.hatch.build.targets.wheel], or move it into {place.package}"
            for each in place.others
        ]
    package = root / str(answers["package_name"])
    examples = original.has_examples(package) if is_original else None
    _move_out(plan, base, new, whose, examples)
    _take_in(plan, root, base, new, whose)
    _project(plan, root, base, new["pyproject.toml"])
    _conda(plan, base, new)
    _rewrite_dags(plan, root)
    _environment(plan, base)
    return plan


def _update_from_origin(plan: Plan) -> None:
    """Take updates from this clone's origin, because colleagues and CI don't have the clone."""
    code, url, _ = local["git"]["-C", str(REPOSITORY), "remote", "get-url", "origin"].run(
        retcode=None
    )
    if code == 0:
        entry = plan.after[ANSWERS]
        line = f"_src_path: {url.strip()}".encode()
        data = re.sub(rb"(?m)^_src_path: .*$", lambda _: line, entry.data)
        plan.after[ANSWERS] = Entry(entry.mode, data)


def concerned(root: Path, new: Tree) -> set[str]:
    """The files that adoption may touch: never data, which may be large."""
    places = GitIgnoreSpec.from_lines([*original.REPLACED, *PLACES])
    tracked = git(root, "ls-files", "-z").split("\0")
    found = {path for path in tracked if path and places.match_file(path)} | set(new) | {".env"}
    return {path for path in found if (root / path).is_symlink() or (root / path).is_file()}


def _move_out(
    plan: Plan, base: dict[str, bytes], new: Tree, whose: Owners, examples: bool | None
) -> None:
    """Move out the original's framework, and files that are in the way of ours.

    `examples`: whether the package has the original's examples; None for other repositories.
    """
    is_original = examples is not None
    framework = GitIgnoreSpec.from_lines(whose.framework)
    replaced = GitIgnoreSpec.from_lines(original.REPLACED if is_original else [])
    no_examples = ["/dags/example_*"] if examples is False else []  # they call missing functions
    unwanted = GitIgnoreSpec.from_lines([*original.REPLACED_IF_UNCHANGED, *no_examples])
    for path, entry in list(plan.before.items()):
        as_made = path in base and same_lines(base[path], entry.data)
        in_the_way = framework.match_file(path) and path in new and not same(new[path], entry)
        loader = path.startswith("dags/") and dags.reads_yaml(entry.data)
        if loader:
            plan.after[YAML_LOADER] = new[YAML_LOADER]
        elif not (in_the_way or replaced.match_file(path)) and not (
            as_made and unwanted.match_file(path)
        ):
            continue
        edited = path in base and not as_made
        why = "you changed it" if edited else "" if path in base or is_original else "replaced"
        plan.moved_out[path] = f"{YAML_LOADER} replaces it" if loader else why
        if edited:
            plan.notes.append(f"{path}: you changed it; the template's version replaces it")
        elif why == "replaced" and not loader:
            plan.notes.append(f"{path}: the template's version replaces it; yours is in {SAVED}/")
        del plan.after[path]


def _take_in(plan: Plan, root: Path, base: dict[str, bytes], new: Tree, whose: Owners) -> None:
    """Add the framework, merge shared files, and add the user files that every project needs."""
    theirs = GitIgnoreSpec.from_lines(whose.user)
    for path, entry in new.items():
        ours = plan.after.get(path)
        if path in ("pyproject.toml", "environment.yml"):
            continue
        if theirs.match_file(path):
            if not any(found for each in WANTED.get(path, ["*"]) for found in root.glob(each)):
                plan.after[path] = Entry(entry.mode, STRICT_TESTS.sub(SKIP, entry.data))
        elif ours is None or same(ours, entry):
            plan.after[path] = entry
        elif path in (".gitignore", ".gitattributes"):
            text = merge_lines(entry.data.decode(), ours.data.decode(errors="surrogateescape"))
            _merged(plan, path, Merged(text, []))
        else:
            note = "the template's version replaces it; copy over what you need"
            _merged(plan, path, Merged(entry.data.decode(), [note]))


def _merged(plan: Plan, path: str, merged: Merged) -> None:
    """Replace the user's file with a merged one."""
    old = plan.before.get(path)
    data = merged.text.encode(errors="surrogateescape")
    plan.after[path] = Entry(old.mode if old else "100644", data)
    if old:
        plan.moved_out[path] = "merged; this is your version"
    plan.notes += [f"{path}: {note}" for note in merged.notes]


def _project(plan: Plan, root: Path, base: dict[str, bytes], new: Entry) -> None:
    """Merge pyproject.toml, including what other files declare."""
    as_made = sources.of_original(base)
    facts: dict[str, Any] = {}
    if texts := licences.files(root):
        facts["license-files"] = texts
    if readmes := sorted(path.name for path in root.glob("README*") if path.is_file()):
        name = "README.md" if "README.md" in readmes else readmes[0]
        known = name.endswith((".md", ".rst", ".txt"))
        facts["readme"] = name if known else {"file": name, "content-type": "text/plain"}
    pins: dict[str, str] = {}
    if plan.answers["environment_manager"] == "conda":
        names = ("environment.yml", "environment.yaml")
        text = next((plan.before[name].data for name in names if name in plan.before), b"")
        pins = conda.pins(text.decode(errors="replace"))
    merged = project.merge(
        new.data.decode(), plan.found, as_made, sources.configured(root), facts, pins
    )
    _merged(plan, "pyproject.toml", Merged(merged.text, []))
    plan.notes += merged.notes
    declares = project.combined(plan.found).project
    if plan.answers["license"] == licences.OTHER and texts and "license" not in declares:
        plan.notes.append(
            f"pyproject.toml: {', '.join(texts)}: unknown license; declare which one it is"
        )
    if "pixi.toml" in plan.after:  # pixi would read it instead of pyproject.toml
        del plan.after["pixi.toml"]
        plan.moved_out["pixi.toml"] = "its tables are now in pyproject.toml"


def _conda(plan: Plan, base: dict[str, bytes], new: Tree) -> None:
    """Merge environment.yml if conda manages the environment; otherwise note what is unread."""
    pyproject = plan.after["pyproject.toml"].data.decode()
    for path in ("environment.yml", "environment.yaml"):
        if path not in plan.before:
            continue
        text = plan.before[path].data.decode(errors="replace")
        if "environment.yml" in new:
            old = base.get(path, b"").decode()
            template = new["environment.yml"].data.decode()
            if "environment.yml" in plan.before and path != "environment.yml":
                plan.notes.append(f"{path}: unread; only environment.yml is read")
                continue
            read = [each.source for each in plan.found]
            groups = project.combined(plan.found).groups.values()
            tools = [each for lines in groups for each in lines if isinstance(each, str)]
            _merged(plan, "environment.yml", conda.merge(template, text, old, read, tools))
            if path != "environment.yml":
                plan.notes.append(f"{path}: its packages are now in environment.yml; delete it")
        else:
            missing = conda.unread(text, project.requirements_of(pyproject))
            plan.notes.append(
                f"{path}: kept, but {plan.answers['environment_manager']} doesn't read it; "
                f"pyproject.toml lacks: {', '.join(missing) or '(nothing)'}"
            )
    if "environment.yml" in new and "environment.yml" not in plan.after:
        plan.after["environment.yml"] = new["environment.yml"]


def merge_lines(new: str, ours: str) -> str:
    """The project's lines, then the template's lines that it lacks, as in .gitignore."""
    lines = ours.splitlines()
    missing = [line for line in new.splitlines() if line.strip() and line not in lines]
    return "\n".join([*lines, "", "# Gaiaflow", *missing]).lstrip("\n") + "\n"


def _rewrite_dags(plan: Plan, root: Path) -> None:
    """Make DAGs load in Airflow 3, and keep their calls of the original's functions working."""
    package = str(plan.answers["package_name"])

    def knows(function: str) -> bool:
        module, _, name = function.replace(":", ".").rpartition(".")
        return task_factory.parameters(root, module, name) is not None

    needs = False
    for path, entry in list(plan.after.items()):
        kind = re.fullmatch(r"dags/.*\.(py|yml|yaml)", path)
        if not kind or not entry.is_text:
            continue
        if kind[1] == "py":
            made = dags.rewrite(entry.data, package, knows)
        else:
            made = dags.rewrite_yaml(entry.data, package)
        plan.after[path] = Entry(entry.mode, made.data)
        plan.notes += [f"{path}: {note}" for note in made.notes]
        needs = needs or dags.needs_factory(made.data)
    if needs:
        shim = Path(dags.__file__).with_name("task_factory.py")
        plan.after["task_factory.py"] = Entry("100644", shim.read_bytes())


def _environment(plan: Plan, base: dict[str, bytes]) -> None:
    """Write our `.env` with fresh secrets, plus everything that the user set."""
    old = plan.before.get(".env")
    answers = read_answers(plan.after[ANSWERS].data)
    text = settings.env_text(identity_of(answers))
    if old:
        values = env_values(old.data.decode(errors="replace"))
        defaults = env_values(base.get(".env", b"").decode(errors="replace"))
        known = {setting.name for setting in settings.SETTINGS}
        kept = {name: value for name, value in values.items() if defaults.get(name) != value}
        for name in kept.keys() & known:
            found = re.search(rf"(?m)^{name}=.*$", text)
            if found:
                text = f"{text[: found.start()]}{name}={kept[name]}{text[found.end() :]}"
        rest = [f"{name}={value}" for name, value in kept.items() if name not in known]
        if rest:
            text += "\n".join(["", "# From before Gaiaflow.", *rest]) + "\n"
        plan.moved_out[".env"] = "your values are in the new one"
    plan.after[".env"] = Entry("100644", text.encode())


def env_values(text: str) -> dict[str, str]:
    """Assignments as written, even in a file with errors."""
    return dict(re.findall(r"(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*?)\s*$", text))


def original_answers(root: Path, answers: dict[str, Any]) -> dict[str, Any]:
    """The answers under the original's names."""
    package = answers["package_name"]
    names = ("project_name", "project_description", "author_name", "author_email")
    return {
        **{name: answers.get(name, "") for name in names},
        "package_name": package,
        "folder_name": original.folder_name(root),
        "show_examples": "yes" if original.has_examples(root / package) else "no",
        "use_minio": "no" if any((root / package).glob("*/*_without_minio.py")) else "yes",
        "use_dag_factory": "yes" if any(root.glob("dags/*_config.yml")) else "no",
    }


def render(template: str, answers: dict[str, Any], target: Path) -> Path:
    """Generate a project with these answers."""
    from copier import run_copy
    from copier.errors import CopierError

    try:
        run_copy(
            template, target, data=answers, defaults=True, unsafe=True, skip_tasks=True, quiet=True
        )
    except (CopierError, ValueError) as error:
        raise CannotAdopt(f"An answer is invalid: {error}. Set it with -d NAME=VALUE.") from None
    return target


def carry_out(root: Path, plan: Plan) -> None:
    """Carry out the plan, or change nothing."""
    tracked_env = bool(git(root, "ls-files", "--", ".env"))
    changed = [
        path
        for path in plan.before.keys() | plan.after.keys()
        if plan.before.get(path) != plan.after.get(path)
    ]
    ignored = root / SAVED
    snapshot = Snapshot.take(root, changed)
    snapshot.plan({path: digest_of(plan.after.get(path)) for path in changed})
    try:
        for path in plan.moved_out:
            copy(root / path, ignored / path)
        if plan.moved_out:
            listed = "\n".join(
                f"- {path} {why and f'({why})'}" for path, why in plan.moved_out.items()
            )
            (ignored / "NOTE.md").write_text(
                "# Moved out when Gaiaflow was adopted\n\n"
                f"Unchanged copies; git has them too.\n\n{listed}\n",
                encoding="utf-8",
            )
        write_tree(root, plan.before, plan.after)
        envfile.write(root / ".env", plan.after[".env"].data.decode())
        (root / ".env").chmod(0o600)  # the secrets are fresh, so keep them private
        if tracked_env:
            git(root, "rm", "--cached", "--quiet", "--", ".env")
        snapshot.save(phase="merged", conflicts=[])
    except BaseException:
        snapshot.abort()
        raise


def git(root: Path, *arguments: str) -> str:
    """Run git in the repository."""
    return str(local["git"]["-C", str(root)](*arguments))


def say(text: str) -> None:
    """Print results and progress to standard error."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    Adopt.run()
