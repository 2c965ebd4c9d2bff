"""Examine a project and its machine: find problems and suggest fixes.

Needs neither third-party packages nor the network: it must work when nothing else does. A check
is a function that examines one thing and returns a Finding, or None if the thing doesn't apply to
this machine or project, or if another check reports the cause. To add a check, write a function
and list it in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from gaiaflow.doctor import docker, files, gpu, kubernetes, machine, ports, tools, wsl
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject, examine
from gaiaflow.doctor.system import WINDOWS

__all__ = ["CHECKS", "OK", "PROBLEM", "WARNING", "Finding", "Subject", "diagnose", "examine"]

Check = Callable[[Subject], Finding | None]

# In the order in which to fix problems; slow checks come last.
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
    gpu.gpu,
    gpu.gpu_containers,
    gpu.gpu_minikube,
)


def diagnose(subject: Subject, waiting: Callable[[], None] = lambda: None) -> Iterator[Finding]:
    """Run all checks in parallel; yield their findings in the order of CHECKS.

    Call `waiting` once if a check takes longer than two seconds.
    """
    if subject.system.kind == WINDOWS:  # no other check works there
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
    """Run a check; if it crashes, report that instead of stopping the others."""
    try:
        return check(subject)
    except Exception as error:
        name = check.__name__.replace("_", "-")
        report = "# Please report this: https://github.com/bcdev/gaiaflow/issues"
        return Finding(name, WARNING, f"not checked: {type(error).__name__}: {error}", report)
