"""The operating system, memory, disk, clock and proxies of this machine."""

from __future__ import annotations

import netrc
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gaiaflow import inherited
from gaiaflow.doctor import docker
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import LINUX, MACOS, WINDOWS, WSL2

_GIB = 1024**3
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


def operating_system(subject: Subject) -> Finding:
    """Whether the services can run on this system at all."""
    check, system = "operating-system", subject.system
    if system.kind == WINDOWS:
        fix = (
            "# In PowerShell as administrator; then make the project anew inside of Ubuntu.\n"
            "wsl --install -d Ubuntu"
        )
        return Finding(check, PROBLEM, f"{system.name}: the services need WSL2", fix)
    if system.kind == MACOS and system.machine == "x86_64":
        found = f"{system.name} on Intel: the object store has no build for it outside Docker"
        return Finding(check, WARNING, found, "python3 mlops_manager.py start --backend compose")
    return Finding(check, OK, f"{system.name}, {system.machine}")


def memory(
    subject: Subject, least: int = 2 * _GIB, comfortable: int = 4 * _GIB, free: int = _GIB
) -> Finding | None:
    """Whether the services (1.1 GiB) fit, and a model beside them.

    least, comfortable: bytes that the machine should have; free: bytes that should be available.
    """
    known = _memory(subject)
    if known is None:
        return None
    total, available = known
    found = f"{available / _GIB:.1f} of {total / _GIB:.1f} GiB available"
    if total >= comfortable and available >= free:
        return Finding("memory", OK, found)
    if subject.system.is_wsl and total < comfortable:
        fix = (
            "# Windows gives WSL2 half of its memory or less. In the file .wslconfig of your\n"
            "# Windows home, write these two lines, then `wsl --shutdown` in PowerShell:\n"
            "#   [wsl2]\n"
            "#   memory=6GB"
        )
    elif subject.system.kind == MACOS:
        fix = "# Close what takes most:\nps -axo rss,pid,comm | sort -rn | head"
    else:
        fix = "# Close what takes most:\nps -eo rss,pid,comm --sort=-rss | head"
    if total < comfortable:
        found += "; the services take 1.1 GiB, so a small model has room only from 4 GiB on"
    return Finding("memory", PROBLEM if total < least else WARNING, found, fix)


def _memory(subject: Subject) -> tuple[int, int] | None:
    """Bytes of memory in all, and available."""
    if subject.system.kind == MACOS:
        total = subject.programs.ask("sysctl", "-n", "hw.memsize").out.strip()
        pages = subject.programs.ask("vm_stat").out
        size = re.search(r"page size of (\d+)", pages)
        usable = re.findall(r"Pages (?:free|inactive|purgeable):\s+(\d+)", pages)
        if not total.isdigit() or not size:
            return None
        return int(total), sum(map(int, usable)) * int(size[1])
    try:
        text = (subject.system.top / "proc" / "meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    kib = {name: int(value) for name, value in re.findall(r"(?m)^(Mem\w+):\s+(\d+) kB", text)}
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024


def disk(subject: Subject, least: int = 2 * _GIB, comfortable: int = 6 * _GIB) -> Finding:
    """Whether there is space for two environments (1 GB) and for data.

    least, comfortable: bytes that should be free.
    """
    free = shutil.disk_usage(subject.root).free
    found = f"{free / _GIB:.1f} GiB free"
    if free >= comfortable:
        return Finding("disk", OK, found)
    fix = [
        "uv cache clean",
        "python3 mlops_manager.py clean    # logs; your data stays",
        f"du -xh {shlex.quote(str(subject.root))} | sort -rh | head    # what takes most",
    ]
    if docker.reach(subject) == docker.ANSWERS:
        fix.append("docker system df    # what Docker takes")
    level = PROBLEM if free < least else WARNING
    return Finding("disk", level, f"{found}; the environments take 1 GiB", "\n".join(fix))


def clock(subject: Subject, limit: float = 30.0) -> Finding:
    """Whether all clocks say the same: signatures and tokens are refused if not.

    limit: seconds by which they may differ.
    """
    measured = list(_clocks(subject))
    for what, seconds, fix in measured:
        if abs(seconds) > limit:
            behind = "ahead of" if seconds > 0 else "behind"
            found = f"{what} is {abs(seconds):.0f} s {behind} this clock"
            return Finding("clock", WARNING, found, fix)
    return Finding("clock", OK, f"agrees with {', '.join(what for what, _, _ in measured)}")


def _clocks(subject: Subject) -> Iterator[tuple[str, float, str]]:
    """Other clocks: their name, how far they are ahead (seconds), what to do if it is too far."""
    system = subject.system
    set_clock = "# Set the clock.\n" + {
        LINUX: f"{system.sudo}timedatectl set-ntp true",
        MACOS: "sudo sntp -sS time.apple.com",
    }.get(system.kind, f"{system.sudo}hwclock --hctosys")
    shutdown = "# If that does not help, in PowerShell: wsl --shutdown"
    wake = f"{set_clock}\n{shutdown}" if system.is_wsl else set_clock

    if system.kind == WSL2:  # it sleeps through while Windows does; the hardware clock does not
        try:
            real = (system.top / "sys" / "class" / "rtc" / "rtc0" / "since_epoch").read_text()
            yield "Windows", int(real) - time.time(), wake
        except (OSError, ValueError):
            pass
    try:
        with tempfile.TemporaryFile(dir=subject.root) as file:
            before = time.time()
            file.write(b"now")
            file.flush()
            yield (
                "the file system",
                os.fstat(file.fileno()).st_mtime - before,
                (f"{set_clock}\n# If the folder is on a file server, set that one's too."),
            )
    except OSError:
        pass
    # Files of the future: the clock was set back, or they come from a machine whose clock is wrong.
    known = ("pyproject.toml", ".env", "dags/**/*", ".gaiaflow/run/*", ".gaiaflow/logs/*.log")
    files = [path for pattern in known for path in subject.root.glob(pattern) if path.is_file()]
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    if newest and (ahead := newest.stat().st_mtime - time.time()) > 1:
        touch = f"# Or, if the clock is right now: touch {shlex.quote(str(newest))}"
        yield f"the time of {newest.relative_to(subject.root)}", ahead, f"{wake}\n{touch}"
    if (engine := docker.system_time(subject)) is not None:
        restart = "# Restart Docker Desktop, or whatever machine the engine runs in."
        yield "the Docker engine", engine, wake if system.is_wsl else f"{set_clock}\n{restart}"


def variables(subject: Subject) -> Finding | None:
    """Variables of this shell that services and tasks are not given."""
    names = inherited.noticed(subject.environ)
    if not names:
        return None
    return Finding("variables", OK, f"left out for services and tasks: {', '.join(names)}")


def certificates(subject: Subject) -> Finding | None:
    """The files that variables name as the certificates to trust: each must be there."""
    named = [(name, subject.environ[name]) for name in _CERTIFICATES if subject.environ.get(name)]
    missing = [(name, path) for name, path in named if not Path(path).exists()]
    if not named:
        return None
    if not missing:
        return Finding("certificates", OK, ", ".join(name for name, _ in named))
    name, path = missing[0]
    fix = f"unset {name}    # and where it is set: grep {name} ~/.profile ~/.bashrc ~/.zshrc"
    found = f"{name} names {path}, which is not there: no https connection can be made"
    return Finding("certificates", PROBLEM, found, fix)


def passwords(subject: Subject) -> Finding | None:
    """Whether ~/.netrc leaves MLflow's clients the password of this project.

    They use requests, which puts what the file has for a host in the place of any other password.
    """
    home = subject.environ.get("HOME") or str(Path.home())
    path = Path(subject.environ.get("NETRC") or Path(home, ".netrc"))
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):  # then requests reads nothing
        return None
    ours = next((name for name in ("127.0.0.1", "localhost", "default") if name in hosts), None)
    if not ours:
        return Finding("passwords", OK, f"{path} has none for this computer")
    entry = ours if ours == "default" else f"machine {ours}"
    found = f"{path} has an entry `{entry}`, which MLflow's clients send to this project's MLflow"
    look = f"grep -n {ours} {shlex.quote(str(path))}"
    fix = f"# Remove the entry, or name the hosts that it is for.\n{look}"
    return Finding("passwords", PROBLEM, found, fix)


def proxy(subject: Subject) -> Finding | None:
    """If there is a proxy: whether it is left out between this machine and itself."""
    variables = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    names = [name for upper in variables for name in (upper, upper.lower())]
    found = next((name for name in names if subject.environ.get(name)), None)
    if not found:
        return None
    if inherited.without_socks({found: subject.environ[found]}):
        found = f"{found} (SOCKS, for tasks and downloads only)"
    exempt = subject.environ.get("no_proxy") or subject.environ.get("NO_PROXY") or ""
    hosts = {host.strip() for host in exempt.split(",")}
    missing = [host for host in ("127.0.0.1", "localhost") if host not in hosts]
    if not missing or "*" in hosts:
        return Finding("proxy", OK, f"{found} is set, and not for this machine itself")
    fix = (
        "# The services set it for themselves; this is for your own programs. Put it where the\n"
        "# proxy is set, such as ~/.profile.\n"
        f'export NO_PROXY="{",".join(missing)}${{NO_PROXY:+,$NO_PROXY}}"\n'
        'export no_proxy="$NO_PROXY"'
    )
    return Finding("proxy", WARNING, f"{found} is set, but NO_PROXY lacks {missing[0]}", fix)
