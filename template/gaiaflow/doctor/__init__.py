"""Examine a project and the machine that it is on: what is wrong, and what mends it here.

Standard library only, and it asks nothing of the network: it must work when nothing else does.
A check is a function that looks at one thing and returns a Finding, or None if the thing does
not concern this machine or project, or if another check names its cause. A new check is one
function, and its line in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from gaiaflow.doctor import docker, files, kubernetes, machine, ports, tools, wsl
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject, examine
from gaiaflow.doctor.system import WINDOWS

__all__ = ["CHECKS", "OK", "PROBLEM", "WARNING", "Finding", "Subject", "diagnose", "examine"]

Check = Callable[[Subject], Finding | None]

# In the order in which one mends things; what may be slow to answer last.
CHECKS: tuple[Check, ...] = (
    machine.operating_system,
    wsl.wsl_version,
    wsl.wsl_folder,
    tools.python,
    tools.uv,
    tools.environment_manager,
    tools.git,
    tools.airflow_environment,
    files.project_file,
    files.env_file,
    files.file_owner,
    machine.memory,
    machine.disk,
    machine.variables,
    machine.proxy,
    machine.certificates,
    machine.passwords,
    ports.ports,
    machine.clock,
    docker.docker,
    docker.docker_context,
    docker.docker_engine,
    docker.docker_permission,
    docker.docker_credentials,
    docker.docker_compose,
    kubernetes.minikube,
    kubernetes.kubectl,
)


def diagnose(subject: Subject, waiting: Callable[[], None] = lambda: None) -> Iterator[Finding]:
    """Make all checks at the same time; yield what they find, in their order.

    Calls `waiting` once if one of them takes longer than two seconds.
    """
    if subject.system.kind == WINDOWS:  # all others would ask a system that is not there
        yield machine.operating_system(subject)
        return
    with ThreadPoolExecutor(max_workers=len(CHECKS)) as pool:
        patience: float | None = 2.0
        for future in [pool.submit(_guarded, check, subject) for check in CHECKS]:
            if not wait([future], timeout=patience).done:
                waiting()
                patience = None
            if found := future.result():
                yield found


def _guarded(check: Check, subject: Subject) -> Finding | None:
    """A check that can't be made must not keep the others from being seen."""
    try:
        return check(subject)
    except Exception as error:
        name = check.__name__.replace("_", "-")
        report = "# Please report this: https://github.com/bcdev/gaiaflow/issues"
        return Finding(name, WARNING, f"not checked: {type(error).__name__}: {error}", report)
