"""doctor and Docker: faults of the program, its configuration, the engine and the plugin.

With the real docker program and, where it says `engine`, the real engine. Doubles are for what no
machine has at the same time: old versions, and helpers of Docker Desktop's.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gaiaflow.doctor import OK, PROBLEM, WARNING, docker, examine, ports
from gaiaflow.doctor import system as systems

from .conftest import TEMPLATE
from .doctor import as_nobody, listening, look, only, only_root, run_fix, script, seen

pytestmark = pytest.mark.skipif(not shutil.which("docker"), reason="docker is not installed here")

SOCKET = Path("/var/run/docker.sock")

# Everything but the engine, which some tests take away.
ALL = (
    docker.docker,
    docker.docker_context,
    docker.docker_engine,
    docker.docker_permission,
    docker.docker_credentials,
    docker.docker_compose,
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with a docker configuration of their own, empty so far."""
    (tmp_path / "docker").mkdir()
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    return {**theirs, "DOCKER_CONFIG": str(tmp_path / "docker")}


@pytest.fixture
def engine(environ: dict[str, str]) -> dict[str, str]:
    """The same user, where the real engine answers at the usual place."""
    done = subprocess.run(["docker", "version"], env=environ, capture_output=True, check=False)
    if done.returncode or not SOCKET.exists():
        pytest.skip("no Docker engine runs here")
    return environ


def run(environ: dict[str, str], *arguments: str) -> str:
    command = ["docker", *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


# --- The program ---------------------------------------------------------------------------------


def test_no_docker_is_one_finding(project_root: Path, tmp_path: Path) -> None:
    bare = {**only(tmp_path), "DOCKER_CONFIG": str(tmp_path)}
    found = [finding for check in ALL if (finding := look(project_root, check, bare))]
    assert [(finding.check, finding.level) for finding in found] == [("docker", WARNING)]
    (project_root / ".env").write_text("GAIAFLOW_BACKEND=compose\n")
    assert seen(look(project_root, docker.docker, bare)).level == PROBLEM


def test_docker_desktop_without_integration(project_root: Path, tmp_path: Path) -> None:
    """What WSL2 shows when it is off: no docker, or that of Windows under /mnt."""
    top = tmp_path / "top"
    (top / "proc").mkdir(parents=True)
    (top / "proc" / "version").write_text("Linux version 5.15.1-microsoft-standard-WSL2\n")
    found = seen(look(project_root, docker.docker, only(tmp_path), top))
    assert "WSL integration" in found.fix
    assert examine(project_root, {}, top).system.kind == systems.WSL2


def test_all_is_well(project_root: Path, engine: dict[str, str]) -> None:
    for check in ALL[:-1]:
        found = seen(look(project_root, check, engine))
        assert found.level == OK, found


# --- Contexts ------------------------------------------------------------------------------------


def test_a_dead_docker_host(project_root: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = {**environ, "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    found = seen(look(project_root, docker.docker_context, environ))
    assert found.level == WARNING
    assert f"DOCKER_HOST=unix://{tmp_path}/docker.sock points to" in found.found
    assert found.fix.startswith("unset DOCKER_HOST")
    assert look(project_root, docker.docker_engine, environ) is None  # one cause, one finding
    assert look(project_root, docker.docker_permission, environ) is None
    (project_root / ".env").write_text("GAIAFLOW_BACKEND=compose\n")
    assert seen(look(project_root, docker.docker_context, environ)).level == PROBLEM


def test_a_docker_host_elsewhere(project_root: Path, tmp_path: Path) -> None:
    """A double: there is no second machine here."""
    environ = {**only(tmp_path), "DOCKER_HOST": "ssh://me@server"}
    answer = """[ "$1" = version ] && echo '{"Server":{"Version":"28.0.0"}}'"""
    script(tmp_path / "only" / "docker", answer)
    found = seen(look(project_root, docker.docker_context, environ))
    assert (found.level, "another machine" in found.found) == (WARNING, True)


def test_the_wrong_one_of_two_contexts(project_root: Path, engine: dict[str, str]) -> None:
    """The original's case: Docker Desktop was there once, and its context is still in use."""
    dead = "host=unix:///nowhere/.docker/desktop/docker.sock"
    run(engine, "context", "create", "desktop-linux", "--docker", dead)
    run(engine, "context", "use", "desktop-linux")
    found = seen(look(project_root, docker.docker_context, engine))
    assert found.level == WARNING
    assert "the context desktop-linux points to unix:///nowhere" in found.found
    assert "one answers at default" in found.found
    assert look(project_root, docker.docker_engine, engine) is None
    run_fix(found, engine, project_root)
    assert seen(look(project_root, docker.docker_context, engine)).level == OK
    assert seen(look(project_root, docker.docker_engine, engine)).level == OK


def test_a_context_that_is_gone(project_root: Path, engine: dict[str, str]) -> None:
    config = Path(engine["DOCKER_CONFIG"]) / "config.json"
    config.write_text('{"currentContext": "gone"}')
    found = seen(look(project_root, docker.docker_context, engine))
    assert (found.level, "the context gone points to nothing" in found.found) == (WARNING, True)
    assert look(project_root, docker.docker_compose, engine) is None
    run_fix(found, engine, project_root)
    assert seen(look(project_root, docker.docker_context, engine)).level == OK


def test_two_engines(project_root: Path, engine: dict[str, str]) -> None:
    with listening() as path:
        run(engine, "context", "create", "second", "--docker", f"host=unix://{path}")
        found = seen(look(project_root, docker.docker_context, engine))
    assert (found.level, "two engines are running" in found.found) == (WARNING, True)
    found = seen(look(project_root, docker.docker_context, engine))
    assert (found.level, "(not used: second)" in found.found) == (OK, True)


# --- The engine ----------------------------------------------------------------------------------

# In a mount namespace of its own, these folders are empty; for all others nothing changes.
HIDDEN = """
for folder in /run /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker \
        /usr/libexec/docker; do
    if [ -d $folder ]; then mount -t tmpfs none $folder || exit 77; fi
done
exec "$@"
"""

PRINT = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from gaiaflow.doctor import docker, examine
subject = examine(Path(sys.argv[1]))
found = [getattr(docker, name)(subject) for name in sys.argv[2:]]
print(json.dumps([asdict(finding) if finding else None for finding in found]))
"""


@only_root
def test_an_engine_that_does_not_run_and_no_plugin(
    project_root: Path, environ: dict[str, str]
) -> None:
    checks = ("docker_engine", "docker_context", "docker_compose")
    command = [sys.executable, "-c", PRINT, str(project_root), *checks]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", HIDDEN, "sh", *command],
        env={**environ, "PYTHONPATH": str(TEMPLATE)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr}")
    engine, context, compose = json.loads(done.stdout)
    assert engine["level"] == WARNING
    assert engine["found"].startswith("not running at unix:///var/run/docker.sock")
    assert engine["fix"] == "service docker start"  # without systemd; as root without sudo
    assert context["level"] == OK
    assert compose["level"] == WARNING
    assert "has no compose plugin" in compose["found"]


def test_an_engine_that_hangs(project_root: Path, environ: dict[str, str]) -> None:
    with listening() as path:
        environ = {**environ, "DOCKER_HOST": f"unix://{path}"}
        found = seen(look(project_root, docker.docker_engine, environ, limit=1.0))
    assert found.level == WARNING
    assert "docker did not answer within 1 s" in found.found
    assert "restart" in found.fix


def test_a_program_whose_child_hangs(project_root: Path, tmp_path: Path) -> None:
    """A plugin that hangs holds the pipes of the docker program that was ended."""
    environ = only(tmp_path, "sleep")
    waited = tmp_path / "waited"
    script(tmp_path / "only" / "docker", f"(sleep 30; : > {waited}) & wait")
    found = seen(look(project_root, docker.docker_engine, environ, limit=1.0))
    assert "did not answer" in found.found
    assert not waited.exists(), "doctor waited for the child"


@pytest.mark.parametrize(("number", "level"), [("19.03.15", WARNING), ("20.10.24+dfsg1", OK)])
def test_an_old_engine(project_root: Path, tmp_path: Path, number: str, level: str) -> None:
    """A double: one engine runs here, of one version."""
    environ = {**only(tmp_path), "DOCKER_HOST": "unix:///var/run/docker.sock"}
    answer = json.dumps({"Server": {"Version": number}})
    script(tmp_path / "only" / "docker", f"[ $1 = version ] && echo '{answer}'")
    found = seen(look(project_root, docker.docker_engine, environ))
    assert (found.level, number in found.found) == (level, True)


@only_root
def test_no_permission_on_the_engine(project_root: Path, engine: dict[str, str]) -> None:
    """With the real engine's socket, as a user who is in no group."""
    if SOCKET.stat().st_mode & 0o006:
        pytest.skip("everybody may use the engine here")
    del engine["DOCKER_CONFIG"]  # pytest's folders are closed to others
    found = seen(as_nobody(project_root, docker.docker_permission, engine))
    assert found.level == WARNING
    assert "no permission to use /var/run/docker.sock" in found.found
    assert 'sudo usermod -aG docker "$(id -un)"' in found.fix
    assert "can become root" in found.fix and "rootless" in found.fix
    assert as_nobody(project_root, docker.docker_engine, engine) is None
    context = seen(as_nobody(project_root, docker.docker_context, engine))
    assert context.level == OK


@only_root
def test_a_socket_of_roots_group(project_root: Path, environ: dict[str, str]) -> None:
    with listening() as path:
        closed = {**environ, "DOCKER_HOST": f"unix://{path}"}
        found = seen(as_nobody(project_root, docker.docker_permission, closed))
    assert found.fix.startswith("sudo groupadd --force docker\n")


# --- Credentials ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {}, "credsStore": "desktop"},
        {"credHelpers": {"registry.example": "desktop"}, "auths": {"other.example": {}}},
    ],
    ids=["store", "helper"],
)
def test_credentials_without_their_program(
    project_root: Path, tmp_path: Path, environ: dict[str, str], config: dict[str, object]
) -> None:
    environ["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environ['PATH']}"
    path = Path(environ["DOCKER_CONFIG"]) / "config.json"
    before = json.dumps(config)
    path.write_text(before)
    found = seen(look(project_root, docker.docker_credentials, environ))
    assert found.level == WARNING
    assert "docker-credential-desktop was not found" in found.found
    helper = script(tmp_path / "bin" / "docker-credential-desktop", "")
    assert seen(look(project_root, docker.docker_credentials, environ)).level == OK
    helper.unlink()
    run_fix(found, environ, project_root)
    assert seen(look(project_root, docker.docker_credentials, environ)).level == OK
    assert (path.parent / "config.json.before").read_text() == before
    kept = {name: value for name, value in config.items() if not name.startswith("cred")}
    assert json.loads(path.read_text()) == kept


@pytest.mark.parametrize("text", ["{", "[]", '{"credHelpers": []}'])
def test_a_broken_configuration(project_root: Path, environ: dict[str, str], text: str) -> None:
    path = Path(environ["DOCKER_CONFIG"]) / "config.json"
    path.write_text(text)
    found = seen(look(project_root, docker.docker_credentials, environ))
    assert (found.level, "not a valid Docker configuration" in found.found) == (WARNING, True)
    run_fix(found, environ, project_root)
    assert seen(look(project_root, docker.docker_credentials, environ)).level == OK


@pytest.mark.parametrize("text", ["", "{}", '{"credsStore": ""}'])
def test_an_empty_configuration(project_root: Path, environ: dict[str, str], text: str) -> None:
    (Path(environ["DOCKER_CONFIG"]) / "config.json").write_text(text)
    assert seen(look(project_root, docker.docker_credentials, environ)).level == OK


# --- The compose plugin --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "level"),
    [("2.23.3", WARNING), ("1.29.2", WARNING), ("2.24.0", OK), ("v2.40.3", OK), ("5.0.1", OK)],
)
def test_the_age_of_the_plugin(
    project_root: Path, environ: dict[str, str], number: str, level: str
) -> None:
    """A double of the plugin, which only prints a version; the docker program is the real one."""
    metadata = '{"SchemaVersion":"0.1.0","Vendor":"Docker Inc.","Version":"v2"}'
    script(
        Path(environ["DOCKER_CONFIG"]) / "cli-plugins" / "docker-compose",
        f"if [ \"$1\" = docker-cli-plugin-metadata ]; then echo '{metadata}'; "
        f"else echo {number}; fi",
    )
    found = seen(look(project_root, docker.docker_compose, environ))
    assert found.level == level, found
    assert found.found.startswith(number.removeprefix("v"))


# --- Does this project use containers? -----------------------------------------------------------


@pytest.fixture
def container(project_root: Path, engine: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """The arguments of a `docker create` that makes a container as Compose would for this project.

    Its image is empty: what it runs is this machine's.
    """
    name = f"gaiaflow-test-{uuid.uuid4().hex[:12]}"
    empty = project_root.parent / "empty.tar"
    empty.write_bytes(bytes(10240))
    run(engine, "import", str(empty), name)
    label = f"com.docker.compose.project.working_dir={project_root}"
    mounts = [f"--volume={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64", "/bin")]
    mounts = [mount for mount in mounts if Path(mount.split(":")[1]).exists()]
    yield ("--name", name, "--label", label, *mounts)
    subprocess.run(["docker", "rm", "--force", name], env=engine, capture_output=True, check=False)
    run(engine, "image", "rm", name)


def test_a_container_makes_it_a_project_of_containers(
    project_root: Path, engine: dict[str, str], container: tuple[str, ...]
) -> None:
    image = container[1]
    assert not docker.uses_containers(examine(project_root, engine))
    run(engine, "create", *container, image, "/bin/true")
    assert docker.uses_containers(examine(project_root, engine))
    assert not docker.uses_containers(examine(project_root.parent, engine))


def test_a_port_of_our_own_container(
    project_root: Path, engine: dict[str, str], container: tuple[str, ...]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    publish = ("--detach", "--publish", f"127.0.0.1:{port}:80")
    run(engine, "run", *publish, *container, container[1], "/bin/sleep", "1000")
    assert docker.published_ports(examine(project_root, engine)) == {port}
    env = {"AIRFLOW_PORT": port, "GAIAFLOW_BACKEND": "compose"}
    text = "".join(f"{name}={value}\n" for name, value in env.items())
    (project_root / ".env").write_text(text)
    found = seen(look(project_root, ports.ports, engine))
    assert f"{port} is taken" not in found.found, found
    other = project_root.parent
    (other / ".env").write_text(text)
    assert f"{port} is taken by" in seen(look(other, ports.ports, engine)).found
