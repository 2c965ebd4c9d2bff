"""Services as data: names, needs, ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaiaflow import backends, services
from gaiaflow.project import envfile
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import prepare
from gaiaflow.services import SERVICES, select

from .conftest import TEMPLATE, secrets_of

STEPS = {
    "environment",
    "airflow-init",
    "bucket",
    "maps-environment",
}  # they end, and others wait for that
TASKS = {"airflow-api-server", "airflow-dag-processor", "mlflow", "object-store"}
USES: dict[str, set[str]] = {
    "airflow-api-server": set(),
    "airflow-scheduler": TASKS,
    "airflow-dag-processor": set(),
    "airflow-triggerer": {"airflow-scheduler"} | TASKS,
    "mlflow": {"object-store"},  # which has the artifacts
    "object-store": set(),
    "jupyterlab": {"mlflow", "object-store"},
    "maps": {"object-store"},
    "serving": {"mlflow", "object-store"},
}
NAMES = [service.name for service in SERVICES]


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("mlfow", "mlflow"),
        ("airflow-sheduler", "airflow-scheduler"),
        ("objectstore", "object-store"),
        ("jupyter", "jupyterlab"),
    ],
)
def test_an_unknown_service_has_near_names(typed: str, near: str) -> None:
    with pytest.raises(LookupError) as caught:
        select(["mlflow", typed], SERVICES)
    message = caught.value.args[0]
    assert message.startswith(f"There is no service {typed!r}. Did you mean {near}")
    assert message.endswith("serving")  # all names, in the second line


def test_nothing_near() -> None:
    with pytest.raises(LookupError, match=r"There is no service 'xyz'\.\nServices: airflow, "):
        select(["xyz"], SERVICES)


def test_names_and_the_group() -> None:
    everything = [service.name for service in select([], SERVICES)]
    assert everything == [name for name in NAMES if name not in STEPS]
    assert [service.name for service in select(["mlflow"], SERVICES)] == ["mlflow"]
    airflow = [service.name for service in select(["airflow"], SERVICES)]
    assert airflow == [name for name in everything if name.startswith("airflow-")]


def test_what_others_wait_for_is_a_step() -> None:
    assert {service.name for service in SERVICES if service.oneshot} == STEPS


def test_needs_exist_and_come_first() -> None:
    for index, service in enumerate(SERVICES):
        assert set(service.depends_on) <= set(NAMES[:index]), service.name


def test_a_service_alone_has_all_it_uses(project_root: Path) -> None:
    backend = backends.make("local", prepare(project_root), lambda *_: None)
    started = {
        service.name: {
            found.name for found in backend.with_dependencies([service]) if not found.oneshot
        }
        for service in backend.services
        if not service.oneshot
    }
    assert started == {name: {name} | others for name, others in USES.items()}


def test_no_port_is_used_twice(project_root: Path) -> None:
    taken = services.ports(prepare(project_root).env, SERVICES)
    assert len(taken) == len(set(taken)) == 15


def own_ports(root: Path) -> dict[str, list[int]]:
    env = prepare(root).env
    return {one.name: services.ports(env, [one]) for one in services.own_services(root)}


def test_a_new_service_does_not_move_the_others(project_root: Path) -> None:
    folder = project_root / "services"
    folder.mkdir()
    for name in ("dashboard.py", "notes.py", ".#dashboard.py", "_common.py"):
        (folder / name).touch()
    assert own_ports(project_root) == {"dashboard": [8090], "notes": [8091]}
    services.keep_own_ports(project_root)
    (folder / "api.py").touch()
    assert own_ports(project_root) == {"api": [8092], "dashboard": [8090], "notes": [8091]}
    services.keep_own_ports(project_root)
    (folder / "dashboard.py").unlink()
    (folder / "zoo.py").touch()
    assert own_ports(project_root) == {"api": [8092], "notes": [8091], "zoo": [8090]}
    record = StateFolder(project_root).own_ports
    for text in ("", "[]", "{", '{"api": "x"}', '{"api": 99}', '{"api": 0, "zoo": 2}', "null"):
        record.write_text(text)
        assert own_ports(project_root) == {"api": [8090], "notes": [8091], "zoo": [8092]}


def test_commands_tell_no_secret(project_root: Path) -> None:
    """Every user of a machine can read the command lines of all processes."""
    project = prepare(project_root)
    secrets = secrets_of(project)
    for service in SERVICES:
        if service.command is None:  # there is only a container
            continue
        line = " ".join(service.command(project))
        assert not [secret for secret in secrets if secret in line], service.name


def test_triggers_are_noticed(project_root: Path) -> None:
    project = prepare(project_root)
    triggerer = next(service for service in SERVICES if service.name == "airflow-triggerer")
    assert triggerer.enabled
    assert not triggerer.enabled(project)
    (project_root / "dags").mkdir()
    file = project_root / "dags" / "wait.py"
    file.write_text("from airflow.sdk import DAG\n")
    assert not triggerer.enabled(project)
    file.write_text("sensor = S3KeySensor(task_id='wait', deferrable=True)\n")
    assert triggerer.enabled(project)


def test_a_setting_limits_the_tasks_of_both_backends(project_root: Path) -> None:
    prepare(project_root)
    envfile.update(project_root / ".env", {"PARALLEL_TASKS": "7"})
    [scheduler] = select(["airflow-scheduler"], SERVICES)
    assert scheduler.env(prepare(project_root))["AIRFLOW__CORE__PARALLELISM"] == "7"
    compose = (TEMPLATE / "docker-compose.yml").read_text(encoding="utf-8")
    assert "AIRFLOW__CORE__PARALLELISM: ${PARALLEL_TASKS:?is missing in .env}" in compose
