"""Check that this project can use the ports in its `.env`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gaiaflow.doctor import docker
from gaiaflow.doctor.finding import OK, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import MACOS
from gaiaflow.project import variables
from gaiaflow.project.ports import is_free
from gaiaflow.project.settings import SETTINGS


def ports(subject: Subject) -> Finding | None:
    """Check that each port is free or used by this project's services."""
    try:
        wanted = _wanted(subject)
    except (KeyError, ValueError):  # the check of .env reports it
        return None
    busy = [port for port in wanted if not is_free(port)]
    published = docker.published_ports(subject) if busy else set()
    others, own = [], 0
    for port in busy:
        name, pid = _holder(subject, port)
        if port in published or (pid and _is_ours(subject, pid)):
            own += 1
        else:
            others.append((port, f"{name}, pid {pid}" if pid else name))
    first = f"{len(wanted)} ports, starting at {min(wanted)}"
    if not others:
        held = f"{own} used by this project's services, the others free" if own else "free"
        return Finding("ports", OK, f"{first}: {held}")
    found = "; ".join(f"{port} is taken by {who}" for port, who in others)
    look = f"ss -ltnp 'sport = :{others[0][0]}'"
    if subject.system.kind == MACOS:
        look = f"lsof -nP -iTCP:{others[0][0]} -sTCP:LISTEN"
    fix = (
        "python3 mlops_manager.py start    # moves this project to free ports, in .env\n"
        f"{subject.system.sudo}{look}    # shows the program; end it to keep the port"
    )
    return Finding("ports", WARNING, found, fix)


def _wanted(subject: Subject) -> list[int]:
    from gaiaflow import services  # here, so a broken edit fails only this check

    env = {**{setting.name: setting.default for setting in SETTINGS}, **subject.env}
    known = services.all_services(subject.root)
    if docker.runs_as(subject) == "compose":
        return [service.ports(env)[0] for service in known if service.ports]
    return services.ports(env, known)


def _holder(subject: Subject, port: int) -> tuple[str, int | None]:
    """Name and pid of the process that holds a port, if this user may know."""
    ask = subject.programs.ask
    listed = ask("ss", "-Hltnp", f"sport = :{port}").out  # Linux
    if found := re.search(r'\(\("(.*?)",pid=(\d+)', listed):
        return found[1], int(found[2])
    listed = ask("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc").out  # macOS, some Linux
    if found := re.search(r"p(\d+)\nc(.*)", listed):
        return found[2], int(found[1])
    return "another program", None


def _is_ours(subject: Subject, pid: int) -> bool:
    """Whether a process carries this project's mark in its environment."""
    mark = f"{variables.PROJECT}={subject.root}"
    try:
        return os.fsencode(mark) in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:  # another user's; or macOS, which has no /proc
        shown = subject.programs.ask("ps", "eww", "-o", "command=", "-p", str(pid)).out
        return f" {mark} " in f"{shown.strip()} "
