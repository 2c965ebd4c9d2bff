"""doctor: tools, machine, ports, files, WSL, Kubernetes. Each fault is made, then looked at."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import site
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gaiaflow.doctor import OK, PROBLEM, WARNING, examine, files, kubernetes, machine, tools, wsl
from gaiaflow.doctor import ports as doctor_ports
from gaiaflow.doctor import system as systems
from gaiaflow.doctor.programs import Programs
from gaiaflow.project import envfile, environments, inherited, settings
from gaiaflow.project.paths import StateFolder
from gaiaflow.project.project import prepare

from .doctor import NOBODY, OPEN, as_nobody, look, only, only_root, run_fix, script, seen

IDENTITY = """
[tool.gaiaflow]
package = "forest_watch"
environment_manager = "{manager}"
object_store = "seaweedfs"
kubernetes = {kubernetes}
"""

KERNELS = {
    systems.WSL2: "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f)",
    systems.WSL1: "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)",
    systems.LINUX: "Linux version 6.1.0-31-amd64 (debian-kernel@lists.debian.org)",
}


def identify(root: Path, manager: str = "uv", kubernetes: bool = False) -> None:
    text = IDENTITY.format(manager=manager, kubernetes=str(kubernetes).lower())
    (root / "pyproject.toml").write_text(text, encoding="utf-8")


def another_system(folder: Path, kernel: str, distribution: str = "ID=debian") -> Path:
    """A folder whose /proc and /etc are those of another system, which can't run here."""
    for path, text in {"proc/version": kernel, "etc/os-release": distribution}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text + "\n", encoding="utf-8")
    return folder


# --- Python, environments, git -------------------------------------------------------------------


def old_python() -> Path:
    """A real interpreter that is too old."""
    found = Path.home().glob(".pyenv/versions/*/bin/python")
    versions = [path for path in found if re.match(r"(2|3\.[0-9]|3\.10)\.", path.parts[-3])]
    for path in [*versions, Path("/usr/bin/python3.9"), Path("/usr/bin/python2.7")]:
        if path.exists():
            return path
    pytest.skip("no Python older than 3.11 here")


def test_python(project_root: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)
    (tmp_path / "only" / "python3").symlink_to(sys.executable)
    assert seen(look(project_root, tools.python, environ)).level == OK


def test_a_python_that_is_too_old(project_root: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)
    (tmp_path / "only" / "python3").symlink_to(old_python())
    found = seen(look(project_root, tools.python, environ))
    assert (found.level, "3.11 or newer" in found.found) == (WARNING, True)
    assert f"{sys.executable} mlops_manager.py" in found.fix


def test_no_python_on_path(project_root: Path, tmp_path: Path) -> None:
    found = seen(look(project_root, tools.python, only(tmp_path)))
    assert (found.level, "no python3 on PATH" in found.found) == (WARNING, True)


def test_airflows_environment(project_root: Path) -> None:
    """Its whole life, with a real environment that borrows the packages of this one."""

    def level() -> tuple[str, str]:
        found = seen(look(project_root, tools.airflow_environment))
        return found.level, found.found

    state = StateFolder(project_root)
    folder, python = state.airflow, state.airflow_python
    assert level()[0] == OK and "not created yet" in level()[1]
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True)
    assert level()[0] == WARNING and "not finished" in level()[1]
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()))
    assert level()[0] == OK and "older than its lock" in level()[1]
    environments.airflow_stamp(project_root).write()
    assert level() == (OK, "in .gaiaflow/airflow")
    (packages / "borrowed.pth").unlink()
    assert level()[0] == PROBLEM and "damaged: ModuleNotFoundError" in level()[1]
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert level()[0] == WARNING and "its Python is gone (/nowhere/python3" in level()[1]
    assert not tools.airflow_works(project_root, Programs(os.environ))


@pytest.mark.parametrize("manager", ["pixi", "conda"])
def test_an_environment_manager_that_is_missing(
    project_root: Path, tmp_path: Path, manager: str
) -> None:
    identify(project_root, manager)
    environ = only(tmp_path)
    found = seen(look(project_root, tools.environment_manager, environ))
    assert (found.found.split()[0], found.level) == (manager, PROBLEM)
    name = "mamba" if manager == "conda" else manager
    script(tmp_path / "only" / name, "")
    assert seen(look(project_root, tools.environment_manager, environ)).level == OK


def test_a_uv_project_needs_no_other_manager(project_root: Path, tmp_path: Path) -> None:
    assert look(project_root, tools.environment_manager, only(tmp_path)) is None


def test_git(project_root: Path, tmp_path: Path) -> None:
    environ = only(tmp_path, "git")
    found = seen(look(project_root, tools.git, environ))
    assert (found.level, "not in a repository" in found.found) == (WARNING, True)
    subprocess.run(["git", "init", "--quiet"], cwd=project_root, check=True)
    assert seen(look(project_root, tools.git, environ)).level == OK


def test_no_git(project_root: Path, tmp_path: Path) -> None:
    assert seen(look(project_root, tools.git, only(tmp_path))).level == PROBLEM


def test_an_old_git(project_root: Path, tmp_path: Path) -> None:
    """A double: no machine has a git that old."""
    environ = only(tmp_path)
    script(tmp_path / "only" / "git", "echo git version 2.20.1")
    found = seen(look(project_root, tools.git, environ))
    assert (found.level, "2.27" in found.found) == (WARNING, True)


@only_root
def test_git_refuses_a_folder_of_another_user(project_root: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=project_root, check=True)
    os.chown(project_root, 12345, 12345)
    found = seen(look(project_root, tools.git))
    assert (found.level, "another user owns" in found.found) == (WARNING, True)


# --- The machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KERNELS)
def test_the_kind_of_system(tmp_path: Path, kind: str) -> None:
    distribution = 'ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04.1 LTS"'
    system = systems.read(another_system(tmp_path, KERNELS[kind], distribution))
    assert system.kind == kind
    assert system.name.startswith("Ubuntu 24.04.1 LTS")
    assert system.install("git").endswith("apt-get install --yes git")


@pytest.mark.parametrize(
    ("distribution", "command"),
    [
        ("ID=fedora", "dnf install git"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf install git"),
        ("ID=manjaro\nID_LIKE=arch", "pacman -S git"),
        ("ID=opensuse-leap\nID_LIKE='suse opensuse'", "zypper install git"),
        ("ID=alpine", "apk add git"),
        ("ID=plan9", "# Install git with your system's package manager."),
    ],
)
def test_the_fix_is_for_this_distribution(
    project_root: Path, tmp_path: Path, distribution: str, command: str
) -> None:
    top = another_system(tmp_path / "top", KERNELS[systems.LINUX], distribution)
    found = seen(look(project_root, tools.git, only(tmp_path), top))
    assert found.fix.endswith(command)


def test_other_systems(project_root: Path) -> None:
    subject = examine(project_root)
    windows = replace(subject, system=systems.System(systems.WINDOWS, "Windows 11"))
    assert machine.operating_system(windows).level == PROBLEM
    intel = replace(subject, system=systems.System(systems.MACOS, "macOS 15", machine="x86_64"))
    assert machine.operating_system(intel).level == WARNING
    assert intel.system.install("git") == "brew install git"
    assert machine.operating_system(subject).level == OK


def test_memory(project_root: Path) -> None:
    assert seen(look(project_root, partial(machine.memory, comfortable=1, free=1))).level == OK
    far = 1 << 60
    assert seen(look(project_root, partial(machine.memory, comfortable=far))).level == WARNING
    assert seen(look(project_root, partial(machine.memory, free=far))).level == WARNING
    little = partial(machine.memory, least=far, comfortable=far)
    assert seen(look(project_root, little)).level == PROBLEM


def test_little_memory_in_wsl(project_root: Path, tmp_path: Path) -> None:
    top = another_system(tmp_path, KERNELS[systems.WSL2])
    (top / "proc" / "meminfo").write_text("MemTotal: 3145728 kB\nMemAvailable: 2097152 kB\n")
    found = seen(look(project_root, machine.memory, top=top))
    assert (found.level, ".wslconfig" in found.fix) == (WARNING, True)
    assert found.found.startswith("2.0 of 3.0 GiB available")


def test_disk(project_root: Path) -> None:
    assert seen(look(project_root, partial(machine.disk, comfortable=1))).level == OK
    far = 1 << 60
    assert seen(look(project_root, partial(machine.disk, comfortable=far))).level == WARNING
    full = partial(machine.disk, least=far, comfortable=far)
    assert seen(look(project_root, full)).level == PROBLEM


def test_clock(project_root: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)  # no docker to ask
    assert seen(look(project_root, machine.clock, environ)).level == OK
    future = time.time() + 3600
    os.utime(project_root / "pyproject.toml", (future, future))
    found = seen(look(project_root, machine.clock, environ))
    assert found.level == WARNING
    assert "the time of pyproject.toml is 3" in found.found and "s ahead of" in found.found
    dag = project_root / "dags" / "forest" / "map.py"
    dag.parent.mkdir(parents=True)
    dag.touch()
    os.utime(dag, (future + 10, future + 10))
    found = seen(look(project_root, machine.clock, environ))
    assert "the time of dags/forest/map.py is 3" in found.found


def test_the_clock_of_wsl(project_root: Path, tmp_path: Path) -> None:
    """It stands still while Windows sleeps; the hardware clock goes on."""
    top = another_system(tmp_path / "top", KERNELS[systems.WSL2])
    hardware = top / "sys" / "class" / "rtc" / "rtc0" / "since_epoch"
    hardware.parent.mkdir(parents=True)
    hardware.write_text(f"{time.time() + 7200:.0f}\n")
    found = seen(look(project_root, machine.clock, only(tmp_path), top))
    assert (found.level, "Windows is 7" in found.found) == (WARNING, True)
    assert "hwclock --hctosys" in found.fix and "wsl --shutdown" in found.fix
    hardware.write_text(f"{time.time():.0f}\n")
    assert "agrees with Windows" in seen(look(project_root, machine.clock, {}, top)).found


@pytest.mark.parametrize(("ahead", "level"), [(0, OK), (-3600, WARNING), (90, WARNING)])
@pytest.mark.parametrize("zone", [0, 2, -5], ids="UTC{:+}".format)
def test_the_clock_of_the_engine(
    project_root: Path, tmp_path: Path, ahead: int, level: str, zone: int
) -> None:
    """A double: the engine here has the clock of this machine."""
    environ = only(tmp_path)
    theirs = datetime.timezone(datetime.timedelta(hours=zone))
    moment = datetime.datetime.fromtimestamp(time.time() + ahead, theirs).isoformat()
    moment = re.sub(r"(\.\d+)", r"\g<1>789", moment).replace("+00:00", "Z")  # nanoseconds
    script(
        tmp_path / "only" / "docker",
        'case "$1" in version) echo \'{"Server":{"Version":"28.0.0"}}\';;'
        f" info) echo {moment};; esac",
    )
    found = seen(look(project_root, machine.clock, environ))
    assert found.level == level, found
    assert "the Docker engine" in found.found


def test_proxy(project_root: Path) -> None:
    assert look(project_root, machine.proxy, {}) is None
    proxied = {"https_proxy": "http://proxy.example:3128", "PATH": os.defpath}
    found = seen(look(project_root, machine.proxy, {**proxied, "NO_PROXY": "localhost"}))
    assert (found.level, "lacks 127.0.0.1" in found.found) == (WARNING, True)
    shown = subprocess.run(
        ["bash", "-c", f"{found.fix}\necho $no_proxy"],
        env={**proxied, "NO_PROXY": "localhost"},
        capture_output=True,
        text=True,
        check=True,
    )
    repaired = {**proxied, "no_proxy": shown.stdout.strip()}
    assert repaired["no_proxy"] == "127.0.0.1,localhost"
    assert seen(look(project_root, machine.proxy, repaired)).level == OK
    socks = {**repaired, "ALL_PROXY": "socks5://proxy.example:1080", "https_proxy": ""}
    assert (
        "SOCKS, for tasks and downloads only"
        in seen(look(project_root, machine.proxy, socks)).found
    )


def test_variables_that_are_left_out_are_named(project_root: Path) -> None:
    assert look(project_root, machine.variables, {"HOME": "/home/me"}) is None
    first = inherited.clean({"UV_FROZEN": "1", "AIRFLOW_CONFIG": "secret"})  # as in the manager
    found = seen(look(project_root, machine.variables, first))
    assert (found.level, found.found) == (
        OK,
        "not passed to services and tasks: AIRFLOW_CONFIG, UV_FROZEN",
    )


@pytest.mark.parametrize("entry", ["default", "machine 127.0.0.1", "machine localhost"])
def test_a_netrc_that_takes_the_place_of_our_password(
    project_root: Path, tmp_path: Path, entry: str
) -> None:
    home = {"HOME": str(tmp_path)}
    assert look(project_root, machine.passwords, home) is None
    file = tmp_path / ".netrc"
    file.write_text("machine urs.earthdata.example login me password secret\n")
    file.chmod(0o600)
    assert seen(look(project_root, machine.passwords, home)).level == OK
    file.write_text(f"{file.read_text()}{entry} login anonymous password secret\n")
    found = seen(look(project_root, machine.passwords, home))
    assert found.level == PROBLEM
    assert f"`{entry}`" in found.found and "secret" not in found.found
    other = {**home, "NETRC": str(tmp_path / "none")}
    assert look(project_root, machine.passwords, other) is None


def test_certificates_must_be_there(project_root: Path) -> None:
    assert look(project_root, machine.certificates, {}) is None
    there = {"SSL_CERT_FILE": str(project_root / "pyproject.toml")}
    assert seen(look(project_root, machine.certificates, there)).level == OK
    gone = {**there, "REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}
    found = seen(look(project_root, machine.certificates, gone))
    assert found.level == PROBLEM
    assert "REQUESTS_CA_BUNDLE names /nowhere/ca.pem, which does not exist" in found.found


# --- Ports ---------------------------------------------------------------------------------------

LISTEN = """
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def port(project_root: Path) -> Iterator[int]:
    """MLflow's port, in a block that is free."""
    for start in range(12000 + os.getpid() % 3000, 18000, 20):
        values = {name: str(start + number) for number, name in enumerate(settings.PORTS)}
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        envfile.write(project_root / ".env", text)
        if seen(look(project_root, doctor_ports.ports)).level == OK:
            yield int(values["MLFLOW_PORT"])
            return
    pytest.fail("no free ports here")


@pytest.mark.parametrize("programs", [("ss",), ("lsof",), ()])
def test_a_busy_port(
    project_root: Path, tmp_path: Path, port: int, programs: tuple[str, ...]
) -> None:
    environ = only(tmp_path, *programs)
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        found = seen(look(project_root, doctor_ports.ports, environ))
    assert found.level == WARNING
    who = rf"taken by .+, pid {os.getpid()}" if programs else "taken by another program"
    assert re.search(rf"^{port} is {who}$", found.found), found
    assert seen(look(project_root, doctor_ports.ports, environ)).level == OK


@pytest.mark.parametrize("ours", [True, False])
def test_a_port_of_a_running_service(project_root: Path, port: int, ours: bool) -> None:
    mark = {"GAIAFLOW_PROJECT": str(project_root if ours else project_root.parent)}
    service = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(port)],
        env={**os.environ, **mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout and service.stdout.readline() == "listening\n"
        found = seen(look(project_root, doctor_ports.ports))
    finally:
        service.communicate()
    assert found.level == (OK if ours else WARNING), found
    if ours:
        assert "1 used by this project's services" in found.found


# --- Files ---------------------------------------------------------------------------------------


@pytest.fixture
def open_root(project_root: Path) -> Iterator[Path]:
    """A project in a folder that other users can reach, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir=OPEN) as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "Wälder und Seen"
        shutil.copytree(project_root, root)
        root.chmod(0o755)
        yield root


def test_files_of_ours(project_root: Path) -> None:
    assert seen(look(project_root, files.file_owner)).level == OK


@only_root
def test_files_of_another_owner(project_root: Path) -> None:
    (project_root / "dags").mkdir()
    foreign = project_root / "dags" / "theirs.py"
    foreign.touch()
    os.chown(foreign, 12345, 12345)
    found = seen(look(project_root, files.file_owner))
    assert (found.level, found.found) == (WARNING, "1 owned by user 12345, such as dags/theirs.py")
    run_fix(found, os.environ, project_root)
    assert seen(look(project_root, files.file_owner)).level == OK


@only_root
def test_roots_files_in_a_users_project(open_root: Path) -> None:
    for path in (open_root, *open_root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    assert seen(as_nobody(open_root, files.file_owner)).level == OK
    (open_root / "log").touch(mode=0o644)
    found = seen(as_nobody(open_root, files.file_owner))
    assert (found.level, found.found) == (PROBLEM, "1 owned by root, such as log")
    assert "sudo chown -R" in found.fix
    found = seen(look(open_root, files.file_owner))
    assert (found.level, "you are root" in found.found) == (WARNING, True)


@only_root
def test_a_project_of_another_user(open_root: Path) -> None:
    found = seen(as_nobody(open_root, files.file_owner))
    assert (found.level, "you may not write to it" in found.found) == (PROBLEM, True)


def test_an_environment_is_not_looked_through(project_root: Path) -> None:
    (project_root / ".venv" / "lib").mkdir(parents=True)
    subject = examine(project_root)
    shown = {path.name for path in files._files(subject.root)}
    assert ".venv" in shown and "lib" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.gaiaflow\n", "pyproject.toml cannot be read"),
        ("[tool.gaiaflow]\n", "pyproject.toml lacks package"),
        (None, "pyproject.toml is missing"),
    ],
    ids=["no TOML", "no identity", "gone"],
)
def test_a_broken_project_file(project_root: Path, text: str | None, says: str) -> None:
    assert seen(look(project_root, files.project_file)).level == OK
    file = project_root / "pyproject.toml"
    file.unlink()
    if text is not None:
        file.write_text(text, encoding="utf-8")
    found = seen(look(project_root, files.project_file))
    assert (found.level, says in found.found) == (PROBLEM, True), found


def test_no_env_file(project_root: Path) -> None:
    assert seen(look(project_root, files.env_file)).level == OK
    assert not (project_root / ".env").exists(), "a look must not make it"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: f"{text}nonsense\n", "expected NAME=value"),
        (lambda text: text.replace("MLFLOW_PORT=", "MLFLOW_PORT=x"), "MLFLOW_PORT must be"),
        (lambda text: text.replace("S3_BUCKET=", "# "), ".env lacks S3_BUCKET"),
    ],
    ids=["line", "value", "missing"],
)
def test_a_broken_env_file(project_root: Path, spoil: object, says: str) -> None:
    assert callable(spoil)
    prepare(project_root)
    path = project_root / ".env"
    assert seen(look(project_root, files.env_file)).level == OK
    spoiled = spoil(path.read_text(encoding="utf-8"))
    envfile.write(path, spoiled)
    found = seen(look(project_root, files.env_file))
    assert (found.level, says in found.found) == (PROBLEM, True), found
    assert path.read_text(encoding="utf-8") == spoiled


def test_a_broken_project_file_hides_no_broken_env_file(project_root: Path) -> None:
    (project_root / ".env").write_text("nonsense\n")
    (project_root / "pyproject.toml").write_text("[")
    assert seen(look(project_root, files.env_file)).level == PROBLEM
    assert seen(look(project_root, files.project_file)).level == PROBLEM


def test_an_env_file_that_others_may_read(project_root: Path) -> None:
    prepare(project_root)
    (project_root / ".env").chmod(0o644)
    found = seen(look(project_root, files.env_file))
    assert (found.level, "644" in found.found) == (WARNING, True)
    run_fix(found, os.environ, project_root)
    assert seen(look(project_root, files.env_file)).level == OK


def test_an_env_file_in_git(project_root: Path) -> None:
    prepare(project_root)
    for command in (["init", "--quiet"], ["add", ".env"]):
        subprocess.run(["git", *command], cwd=project_root, check=True)
    found = seen(look(project_root, files.env_file))
    assert (found.level, "in git" in found.found) == (PROBLEM, True)


@only_root
def test_an_env_file_of_another_user(open_root: Path) -> None:
    prepare(open_root)
    os.chown(open_root, NOBODY, NOBODY)
    found = seen(as_nobody(open_root, files.env_file))
    assert (found.level, ".env" in found.found) == (PROBLEM, True)


# --- WSL, Kubernetes -----------------------------------------------------------------------------


def test_no_wsl(project_root: Path) -> None:
    assert look(project_root, wsl.wsl_version) is None
    assert look(project_root, wsl.wsl_folder) is None


def test_wsl1(project_root: Path, tmp_path: Path) -> None:
    top = another_system(tmp_path, KERNELS[systems.WSL1])
    found = seen(look(project_root, wsl.wsl_version, {"WSL_DISTRO_NAME": "Ubuntu-24.04"}, top))
    assert (found.level, "wsl --set-version Ubuntu-24.04 2" in found.fix) == (PROBLEM, True)


def test_a_folder_of_windows(project_root: Path, tmp_path: Path) -> None:
    top = another_system(tmp_path, KERNELS[systems.WSL2])
    assert seen(look(project_root, wsl.wsl_version, top=top)).level == OK
    assert seen(look(project_root, wsl.wsl_folder, top=top)).level == OK
    found = seen(look(Path("/mnt/c/Users/me/my project"), wsl.wsl_folder, top=top))
    assert (found.level, "'/mnt/c/Users/me/my project'" in found.fix) == (WARNING, True)


def test_kubernetes(project_root: Path, tmp_path: Path) -> None:
    """Minikube is a double: it can't run here."""
    environ = only(tmp_path)
    assert look(project_root, kubernetes.minikube, environ) is None
    assert look(project_root, kubernetes.kubectl, environ) is None
    identify(project_root, kubernetes=True)
    for check in (kubernetes.minikube, kubernetes.kubectl):
        found = seen(look(project_root, check, environ))
        assert (found.level, "was not found" in found.found) == (PROBLEM, True)
    script(tmp_path / "only" / "minikube", "echo v1.38.0")
    found = seen(look(project_root, kubernetes.minikube, environ))
    assert found.found == "v1.38.0" or "two processors" in found.found


def test_a_real_kubectl(project_root: Path, tmp_path: Path) -> None:
    identify(project_root, kubernetes=True)
    found = seen(look(project_root, kubernetes.kubectl, only(tmp_path, "kubectl")))
    assert (found.level, found.found[0]) == (OK, "v")
