"""Check Docker: program, context, engine, permission, credentials and compose plugin.

Checks reach the engine through the docker program because it handles contexts and credentials as
the compose plugin does. Each cause yields one finding: see `reach`.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shlex
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.programs import Answer
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import MACOS, WSL2
from gaiaflow.doctor.tools import version
from gaiaflow.project import variables
from gaiaflow.project.paths import StateFolder

# Whether the docker program reaches the engine and, if not, why.
ANSWERS, NO_PROGRAM, DENIED, ELSEWHERE, HANGS, DOWN = (
    "answers",
    "no program",
    "denied",
    "elsewhere",
    "hangs",
    "down",
)

_OLDEST_ENGINE = (20, 10)
_OLDEST_COMPOSE = (2, 24)
_DEFAULT = "unix:///var/run/docker.sock"
_LABEL = "label=com.docker.compose.project"


def uses_containers(subject: Subject) -> bool:
    """Whether this project's services are set to run, or have run, in containers."""
    if runs_as(subject) == "compose":
        return True
    if reach(subject) != ANSWERS:
        return False
    asked = [("ps", "--all", "--quiet", "--filter", f"{_LABEL}.working_dir={subject.root}")]
    if name := subject.env.get("COMPOSE_PROJECT_NAME"):
        asked.append(("image", "ls", "--quiet", "--filter", f"{_LABEL}={name}"))
    return any(subject.programs.ask("docker", *command).out.strip() for command in asked)


def runs_as(subject: Subject) -> str:
    """The backend that is set or, with auto, was started last: local, compose or auto."""
    chosen = subject.env.get(variables.BACKEND, "auto")
    try:
        last = StateFolder(subject.root).backend.read_text(encoding="utf-8").strip()
    except OSError:  # never started, or somebody else's project
        last = ""
    return last if chosen == "auto" and last else chosen


def published_ports(subject: Subject) -> set[int]:
    """The ports of this machine that this project's containers publish."""
    if reach(subject) != ANSWERS:
        return set()
    own = ("--filter", f"{_LABEL}.working_dir={subject.root}", "--format", "{{.Ports}}")
    return {
        int(port)
        for port in re.findall(r":(\d+)->", subject.programs.ask("docker", "ps", *own).out)
    }


def system_time(subject: Subject) -> float | None:
    """Seconds by which the engine's clock is ahead of this machine's."""
    if reach(subject) != ANSWERS:
        return None
    answer = subject.programs.ask("docker", "info", "--format", "{{.SystemTime}}")
    now = time.time()
    # Keep the engine's time zone, drop fractions of a second.
    said = re.match(r"(.{19})(?:\.\d+)?(Z|[+-]\d\d:\d\d)", answer.out)
    if not said:
        return None
    zone = said[2].replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(said[1] + zone).timestamp() - now


def reach(subject: Subject) -> str:
    """Whether the docker program reaches the engine and, if not, why."""
    if not _program(subject):
        return NO_PROGRAM
    answer = _version(subject)
    if _server(answer):
        return ANSWERS
    endpoint = _endpoint(subject)
    if answer.timed_out:
        return HANGS
    if endpoint and _knock(endpoint) == DENIED:
        return DENIED
    if not endpoint or subject.environ.get("DOCKER_HOST") or _others(subject):
        return ELSEWHERE
    return DOWN


# --- The checks ----------------------------------------------------------------------------------


def docker(subject: Subject) -> Finding:
    """Check that the docker program is installed."""
    system = subject.system
    path = _program(subject)
    if path:
        return Finding("docker", OK, path)
    stub = subject.programs.find("docker")
    found = f"{stub} is only Docker Desktop's placeholder" if stub else "not installed"
    if system.kind == WSL2:
        fix = (
            "# With Docker Desktop: enable this distribution in Settings > Resources >\n"
            "# WSL integration, then open a new terminal. Otherwise, install the engine here:\n"
            f"# https://docs.docker.com/engine/install/{_distribution(subject)}"
        )
    elif system.kind == MACOS:
        fix = (
            "brew install --cask docker-desktop    # or: brew install colima docker docker-compose"
        )
    else:
        fix = f"# https://docs.docker.com/engine/install/{_distribution(subject)}"
    return Finding("docker", _level(subject), found + _not_needed(subject), fix)


def docker_context(subject: Subject) -> Finding | None:
    """Check which engine the docker program talks to."""
    check = "docker-context"
    state = reach(subject)
    if state == NO_PROGRAM:
        return None
    contexts = _contexts(subject)
    variable = next((v for v in ("DOCKER_HOST", "DOCKER_CONTEXT") if subject.environ.get(v)), None)
    endpoint = _endpoint(subject)
    current = _current(subject)
    chosen = f"{variable}={subject.environ[variable]}" if variable else f"the context {current}"
    others = _others(subject)
    unset = (
        f"unset {variable}    # find where it is set: grep {variable} ~/.profile ~/.bashrc ~/.zshrc"
    )
    use = f"docker context use {shlex.quote(next(iter(others), 'default'))}"
    fix = unset if variable else f"docker context ls\n{use}"
    if state == ELSEWHERE:
        where = f"{chosen} points to {endpoint or 'nothing'}, where no engine answers"
        elsewhere = ", ".join(f"{name} ({url})" for name, url in others.items())
        found = f"{where}; one answers at {elsewhere}" if others else where
        return Finding(check, _level(subject), found, fix)
    if state == ANSWERS and endpoint and not _is_local(endpoint):
        found = f"{chosen} points to another machine ({endpoint}), with other folders and ports"
        return Finding(check, _level(subject), found, fix)
    if state == ANSWERS and others:
        found = (
            f"two engines are running, {chosen} and {', '.join(others)}: "
            "neither sees the other's images and containers"
        )
        return Finding(check, WARNING, found, f"docker context ls    # use only one\n{use}")
    names = ", ".join(context["Name"] for context in contexts if context["Name"] != current)
    return Finding(check, OK, f"{chosen}, {endpoint}" + (f" (not used: {names})" if names else ""))


def docker_engine(subject: Subject) -> Finding | None:
    """Check that the engine runs and is recent enough."""
    check = "docker-engine"
    state = reach(subject)
    if state == ANSWERS:
        server = _server(_version(subject)) or {}
        found = f"{server['Version']}, {_endpoint(subject)}"
        if version(server["Version"]) >= _OLDEST_ENGINE:
            return Finding(check, OK, found)
        fix = f"# Update Docker: https://docs.docker.com/engine/install/{_distribution(subject)}"
        return Finding(check, _level(subject), f"{found}: 20.10 or newer is needed", fix)
    if state == HANGS:
        found = f"not responding: {_version(subject).complaint}"
        return Finding(check, _level(subject), found, _engine_command(subject, "restart"))
    if state == DOWN:
        found = f"not running at {_endpoint(subject)}{_not_needed(subject)}"
        return Finding(check, _level(subject), found, _engine_command(subject, "start"))
    return None


def docker_permission(subject: Subject) -> Finding | None:
    """Check that this user may use the engine."""
    check = "docker-permission"
    endpoint = _endpoint(subject)
    state = reach(subject)
    if state == ANSWERS:
        return Finding(check, OK, "you may use the engine")
    if state != DENIED or not endpoint:
        return None
    path = endpoint.removeprefix("unix://")
    found = f"no permission to use {path}{_not_needed(subject)}"
    if subject.system.kind == MACOS:
        fix = "# Docker Desktop: Settings > Advanced > allow the default Docker socket to be used."
        return Finding(check, _level(subject), found, fix)
    sudo = subject.system.sudo
    group, joined = _group(path)
    if joined:
        fix = f"newgrp {group}    # in this terminal; for all others, log out and in again"
        found = f"{found}: you are in the group {group}, but not yet in this session"
        return Finding(check, _level(subject), found, fix)
    fix = (
        f'{sudo}usermod -aG {group or "docker"} "$(id -un)"\n'
        f"newgrp {group or 'docker'}    # or log out and in again\n"
        "# Members of this group can become root on this machine. To avoid that, use rootless\n"
        "# Docker, https://docs.docker.com/engine/security/rootless. Don't open the socket to\n"
        "# everybody: that gives root to every user and program."
    )
    if not group:
        restart = _engine_command(subject, "restart")
        fix = f"{sudo}groupadd --force docker\n{restart}    # gives the socket to the group\n{fix}"
    return Finding(check, _level(subject), found, fix)


def docker_credentials(subject: Subject) -> Finding | None:
    """Check that Docker's credential helpers exist: without them, pulling images fails."""
    check = "docker-credentials"
    path = _config_path(subject)
    try:
        config = json.loads(path.read_text(encoding="utf-8") or "{}")
        wanted = [("credsStore", config["credsStore"])] if config.get("credsStore") else []
        wanted += [("credHelpers", helper) for helper in config.get("credHelpers", {}).values()]
    except FileNotFoundError:
        return Finding(check, OK, "none stored") if _program(subject) else None
    except OSError as error:
        fix = f'{subject.system.sudo}chown "$(id -un)" {shlex.quote(str(path))}'
        return Finding(check, _level(subject), f"{path}: {error.strerror}", fix)
    except (ValueError, AttributeError, TypeError):
        fix = shlex.join(["mv", str(path), f"{path}.before"])
        return Finding(check, _level(subject), f"{path} is not a valid Docker configuration", fix)
    for key, helper in wanted:
        program = f"docker-credential-{helper}"
        if not subject.programs.find(program):
            take_out = (
                "import json, pathlib, sys; p = pathlib.Path(sys.argv[1]); "
                "c = json.loads(p.read_text()); c.pop(sys.argv[2]); p.write_text(json.dumps(c))"
            )
            fix = "\n".join(
                [
                    f"# Install {program}, or remove the entry and log in to Docker again.",
                    shlex.join(["cp", str(path), f"{path}.before"]),
                    shlex.join(["python3", "-c", take_out, str(path), key]),
                ]
            )
            found = f"{path} names the {key} {helper}, but {program} was not found"
            return Finding(check, _level(subject), found, fix)
    found = ", ".join(helper for _, helper in wanted) or "no credential helper is configured"
    return Finding(check, OK, found)


def docker_compose(subject: Subject) -> Finding | None:
    """Check that the compose plugin is there and recent enough."""
    check = "docker-compose"
    if not _program(subject) or not _endpoint(subject):
        return None
    answer = subject.programs.ask("docker", "compose", "version", "--short")
    found = answer.out.strip().removeprefix("v")
    if answer.code == 0 and version(found) >= _OLDEST_COMPOSE:
        return Finding(check, OK, found)
    if answer.code == 0:
        found = f"{found}: 2.24 or newer is needed"
    elif answer.timed_out:
        found = answer.complaint
    else:
        found = "the docker program has no compose plugin"
    return Finding(check, _level(subject), found + _not_needed(subject), _install_compose(subject))


# --- Fixes ---------------------------------------------------------------------------------------


def _level(subject: Subject) -> str:
    return PROBLEM if uses_containers(subject) else WARNING


def _not_needed(subject: Subject) -> str:
    return "" if uses_containers(subject) else " (needed only for containers)"


def _distribution(subject: Subject) -> str:
    known = ("ubuntu", "debian", "fedora", "rhel", "centos", "raspbian")
    return next((name for name in subject.system.family if name in known), "")


def _engine_command(subject: Subject, verb: str) -> str:
    """Commands that "start" or "restart" the engine."""
    system = subject.system
    endpoint = _endpoint(subject) or ""
    if ".colima/" in endpoint:
        return f"colima {verb}"
    if system.kind == MACOS:
        return f"open -a Docker    # in its menu: {verb}"
    if ".docker/desktop/" in endpoint:
        return f"systemctl --user {verb} docker-desktop"
    if "/run/user/" in endpoint:  # rootless
        return f"systemctl --user {verb} docker"
    if system.has_systemd:
        lines = [
            f"{system.sudo}systemctl {verb} docker    # at boot: systemctl enable docker",
            f"{system.sudo}journalctl -u docker -n 20    # if it does not start",
        ]
    else:
        lines = [f"{system.sudo}service docker {verb}"]
    if system.kind == WSL2:
        lines.append(f"# With Docker Desktop: {verb} it in Windows.")
    return "\n".join(lines)


def _install_compose(subject: Subject) -> str:
    system = subject.system
    if system.kind == MACOS:
        return "# Update Docker Desktop; or, with Colima:\nbrew install docker-compose"
    if system.kind == WSL2:
        return (
            "# With Docker Desktop: update it. With this distribution's engine:\n"
            "# https://docs.docker.com/compose/install/linux"
        )
    page = "# or: https://docs.docker.com/compose/install/linux"
    if "ubuntu" in system.family:
        return f"{system.install('docker-compose-v2')}    # for Ubuntu's docker.io\n{page}"
    if "arch" in system.family or "alpine" in system.family:
        name = "docker-compose" if "arch" in system.family else "docker-cli-compose"
        return f"{system.install(name)}\n{page}"
    return (
        f"{system.install('docker-compose-plugin')}    # from Docker's package repository\n{page}"
    )


# --- Queries -------------------------------------------------------------------------------------


def _program(subject: Subject) -> str | None:
    path = subject.programs.find("docker")
    if path and subject.system.is_wsl and path.startswith("/mnt/"):
        return None  # Docker Desktop's placeholder for Windows: the integration is off
    return path


def _version(subject: Subject) -> Answer:
    # Not "--format json": docker knows it only since 23.0.
    return subject.programs.ask("docker", "version", "--format", "{{json .}}")


def _server(answer: Answer) -> Mapping[str, Any] | None:
    try:
        server = json.loads(answer.out)["Server"]
    except (ValueError, KeyError, TypeError):
        return None
    return server if server and server.get("Version") else None


def _contexts(subject: Subject) -> list[Mapping[str, Any]]:
    answer = subject.programs.ask("docker", "context", "ls", "--format", "{{json .}}")
    try:
        return [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    except ValueError:
        return []


def _current(subject: Subject) -> str:
    return next((c["Name"] for c in _contexts(subject) if c.get("Current")), "default")


def _endpoint(subject: Subject) -> str | None:
    """The URL where the docker program looks for the engine; None if its context is broken."""
    if host := subject.environ.get("DOCKER_HOST"):
        return host
    contexts = _contexts(subject)
    current = next((context for context in contexts if context.get("Current")), None)
    return current["DockerEndpoint"] or None if current else _DEFAULT


def _others(subject: Subject) -> dict[str, str]:
    """Other contexts whose engine runs on this machine: name and URL."""
    endpoint = _endpoint(subject)
    known = {context["Name"]: context["DockerEndpoint"] for context in _contexts(subject)}
    # If DOCKER_HOST is set, the context "default" has its value.
    known["default"] = _DEFAULT
    used = [_real(endpoint or "")]
    others = {}
    for name, url in known.items():
        if _real(url) not in used and _knock(url) in {ANSWERS, DENIED}:
            used.append(_real(url))
            others[name] = url
    return others


def _real(endpoint: str) -> str:
    return os.path.realpath(endpoint.removeprefix("unix://"))


def _knock(endpoint: str) -> str:
    """Whether an engine listens at this socket, and whether this user may use it."""
    if not endpoint.startswith("unix://"):
        return DOWN  # other machines are not checked
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(endpoint.removeprefix("unix://"))
        except PermissionError:
            return DENIED
        except OSError:
            return DOWN
    return ANSWERS


def _is_local(endpoint: str) -> bool:
    url = urlsplit(endpoint)
    return url.scheme in {"unix", "npipe", "fd"} or url.hostname in {
        "127.0.0.1",
        "localhost",
        "::1",
    }


def _config_path(subject: Subject) -> Path:
    home = Path(subject.environ.get("HOME") or Path.home())
    return Path(subject.environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def _group(path: str) -> tuple[str, bool]:
    """The group that may use a socket ("" for root's), and whether a new login would add it."""
    import grp
    import pwd

    try:
        group = grp.getgrgid(Path(path).stat().st_gid)
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return "", False
    if group.gr_gid == 0:  # don't suggest joining root's group
        return "", False
    return group.gr_name, user in group.gr_mem and group.gr_gid not in os.getgroups()
