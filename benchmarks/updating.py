"""`update` with nothing to do and with one release to go, against Copier alone; adopting."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from plumbum import local

from benchmarks.common import Goal, Row, interleaved, seconds
from benchmarks.workshop import Workshop, commit

OLD, NEW = "v0.1.0", "v0.2.0"
GOAL = Goal("ratio", 1.25)


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time updates of projects without environments, from git repositories on this disk."""
    templates = {name: _template(workshop, name) for name in ("ours", "alone")}
    actions: dict[str, Callable[[], float]] = {}
    for name, template in templates.items():
        for release in (OLD, NEW):
            project = _project(workshop, template, f"project-{name}-{release}")
            actions[f"{name} {release}"] = _update(workshop, project, release)
    command = _project(workshop, templates["ours"], "project-command")
    workshop.manage(command, "status", "--json")  # makes Airflow's environment, as any command
    for release in (OLD, NEW):
        actions[f"command {release}"] = _update(workshop, command, release, command=True)
    measured = interleaved(actions, max(repeat, 3), "update")
    adoption = [_adopt(workshop, number) for number in range(max(repeat, 3))]
    return [
        *(
            Row(
                f"{what}, {how}",
                measured[f"{key} {release}"],
                measured[f"alone {release}"],
                "Copier alone",
                goal=GOAL,
            )
            for key, what in (("ours", "copier update"), ("command", "mlops_manager.py update"))
            for release, how in ((OLD, "nothing to do"), (NEW, "one release"))
        ),
        Row("adopt a package", sorted(adoption)[len(adoption) // 2], goal=Goal("value", 10)),
    ]


def _template(workshop: Workshop, name: str) -> Path:
    """The working tree and a made-up release after it; `alone` has none of our update's tasks."""
    target = workshop.root / f"template-{name}"
    shutil.copytree(workshop.template, target, ignore=shutil.ignore_patterns(".git"))
    config = target / "copier.yml"
    if name == "alone":
        text = config.read_text(encoding="utf-8")
        config.write_text(re.sub(r"(?s)\n_migrations:.*", "\n_migrations: []\n", text))
    commit(target)
    for path in ("gaiaflow/project/errors.py", "gaiaflow/project/stamps.py", "mlops_manager.py"):
        with (target / "template" / path).open("a", encoding="utf-8") as file:
            file.write("# newer\n")
    git = _git(target)
    git("commit", "--quiet", "--all", "--no-verify", "--message=newer")
    git("tag", NEW)
    return target


def _project(workshop: Workshop, template: Path, name: str) -> Path:
    project = workshop.root / name
    workshop.adopt(project)
    options = ["copy", "--quiet", "--trust", "--defaults", f"--vcs-ref={OLD}"]
    answers = ["-d", "project_name=Benchmark", "-d", "setup=none"]
    workshop.tool("copier")(*options, *answers, str(template), str(project))
    return project


def _update(
    workshop: Workshop, project: Path, release: str, command: bool = False
) -> Callable[[], float]:
    """Update to a release, timed; then back to how it was, not timed."""
    if command:
        python = workshop.tool("python")[str(project / "mlops_manager.py")]
        call = python["update", f"--to={release}"].with_env(PATH=_path(workshop))
    else:
        options = ["--quiet", "--trust", "--defaults", f"--vcs-ref={release}"]
        call = workshop.tool("copier")[["update", *options, str(project)]]

    def update() -> float:
        git = _git(project)
        git("reset", "--quiet", "--hard")
        git("clean", "--quiet", "--force", "-d")
        return seconds(call)

    return update


def _path(workshop: Workshop) -> str:
    """Where `copier` is found first."""
    return f"{Path(str(workshop.tool('copier'))).parent}:{local.env['PATH']}"


def _adopt(workshop: Workshop, number: int) -> float:
    project = workshop.root / f"adopted-{number}"
    (project / "lakes").mkdir(parents=True)
    (project / "lakes" / "__init__.py").write_text("DEPTH = 3\n")
    commit(project)
    program = str(workshop.template / "tasks" / "adopt.py")
    return seconds(lambda: workshop.tool("python")(program, str(project)))


def _git(folder: Path) -> Callable[..., str]:
    who = [
        "-c",
        "user.name=Benchmark",
        "-c",
        "user.email=b@localhost",
        "-c",
        "commit.gpgsign=false",
    ]
    git = local["git"]["-C", str(folder)]

    def run(*arguments: str) -> str:
        return str(git(*who, *arguments))

    return run
