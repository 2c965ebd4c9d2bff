"""Check this machine: operating system, memory, disk, clock and environment variables."""

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

from gaiaflow.doctor import docker
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import LINUX, MACOS, WINDOWS, WSL2
from gaiaflow.project import inherited

_GIB = 1024**3
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")


def operating_system(subject: Subject) -> Finding:
    """Check that the services can run on this system."""
    check, system = "operating-system", subject.system
    if system.kind == WINDOWS:
        fix = (
            "# In PowerShell as administrator; then create the project again inside Ubuntu.\n"
            "wsl --install -d Ubuntu"
        )
        return Finding(check, PROBLEM, f"{system.name}: the services need WSL2", fix)
    if system.kind == MACOS and system.machine == "x86_64":
        found = f"{system.name} on Intel: the object store runs only in Docker"
        return Finding(check, WARNING, found, "python3 mlops_manager.py start --backend compose")
    return Finding(check, OK, f"{system.name}, {system.machine}")


def memory(
    subject: Subject, least: int = 2 * _GIB, comfortable: int = 4 * _GIB, free: int = _GIB
) -> Finding | None:
    """Check that memory suffices for the services (1.1 GiB) and a model.

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
            "# Windows gives WSL2 at most half of its memory. Put these two lines into the file\n"
            "# .wslconfig in your Windows home, then run `wsl --shutdown` in PowerShell:\n"
            "#   [wsl2]\n"
            "#   memory=6GB"
        )
    elif subject.system.kind == MACOS:
        fix = "# Close the largest programs:\nps -axo rss,pid,comm | sort -rn | head"
    else:
        fix = "# Close the largest programs:\nps -eo rss,pid,comm --sort=-rss | head"
    if total < comfortable:
        found += "; the services take 1.1 GiB: with a small model, you need 4 GiB"
    return Finding("memory", PROBLEM if total < least else WARNING, found, fix)


def _memory(subject: Subject) -> tuple[int, int] | None:
    """Bytes of memory: total and available."""
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
    """Check that there is space for two environments (1 GB) and data.

    least, comfortable: bytes that should be free.
    """
    free = shutil.disk_usage(subject.root).free
    found = f"{free / _GIB:.1f} GiB free"
    if free >= comfortable:
        return Finding("disk", OK, found)
    fix = [
        "uv cache clean",
        "python3 mlops_manager.py clean    # logs; your data stays",
        f"du -xh {shlex.quote(str(subject.root))} | sort -rh | head    # the largest folders",
    ]
    if docker.reach(subject) == docker.ANSWERS:
        fix.append("docker system df    # space used by Docker")
    level = PROBLEM if free < least else WARNING
    return Finding("disk", level, f"{found}; the environments need 1 GiB", "\n".join(fix))


def clock(subject: Subject, limit: float = 30.0) -> Finding:
    """Check that all clocks agree: if not, servers reject signatures and tokens.

    limit: seconds by which they may differ.
    """
    measured = list(_clocks(subject))
    for what, seconds, fix in measured:
        if abs(seconds) > limit:
            behind = "ahead of" if seconds > 0 else "behind"
            found = f"{what} is {abs(seconds):.0f} s {behind} this machine's clock"
            return Finding("clock", WARNING, found, fix)
    return Finding("clock", OK, f"agrees with {', '.join(what for what, _, _ in measured)}")


def _clocks(subject: Subject) -> Iterator[tuple[str, float, str]]:
    """Yield other clocks: name, seconds ahead of this one, and a fix."""
    system = subject.system
    set_clock = "# Set the clock.\n" + {
        LINUX: f"{system.sudo}timedatectl set-ntp true",
        MACOS: "sudo sntp -sS time.apple.com",
    }.get(system.kind, f"{system.sudo}hwclock --hctosys")
    shutdown = "# If that does not help, run in PowerShell: wsl --shutdown"
    wake = f"{set_clock}\n{shutdown}" if system.is_wsl else set_clock

    if system.kind == WSL2:  # its clock stops while Windows sleeps; the hardware clock does not
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
                (f"{set_clock}\n# If the folder is on a file server, set the server's clock too."),
            )
    except OSError:
        pass
    # Files from the future: this clock was set back, or another machine's clock was wrong.
    known = ("pyproject.toml", ".env", "dags/**/*", ".gaiaflow/run/*", ".gaiaflow/logs/*.log")
    files = [path for pattern in known for path in subject.root.glob(pattern) if path.is_file()]
    newest = max(files, key=lambda path: path.stat().st_mtime, default=None)
    if newest and (ahead := newest.stat().st_mtime - time.time()) > 1:
        touch = f"# If the clock is right now: touch {shlex.quote(str(newest))}"
        yield f"the time of {newest.relative_to(subject.root)}", ahead, f"{wake}\n{touch}"
    if (engine := docker.system_time(subject)) is not None:
        restart = "# Restart Docker Desktop, or the virtual machine that runs the engine."
        yield "the Docker engine", engine, wake if system.is_wsl else f"{set_clock}\n{restart}"


def variables(subject: Subject) -> Finding | None:
    """List variables of this shell that services and tasks don't get."""
    names = inherited.noticed(subject.environ)
    if not names:
        return None
    return Finding("variables", OK, f"not passed to services and tasks: {', '.join(names)}")


def certificates(subject: Subject) -> Finding | None:
    """Check that the certificate files named by variables exist."""
    named = [(name, subject.environ[name]) for name in _CERTIFICATES if subject.environ.get(name)]
    missing = [(name, path) for name, path in named if not Path(path).exists()]
    if not named:
        return None
    if not missing:
        return Finding("certificates", OK, ", ".join(name for name, _ in named))
    name, path = missing[0]
    fix = f"unset {name}    # find where it is set: grep {name} ~/.profile ~/.bashrc ~/.zshrc"
    found = f"{name} names {path}, which does not exist: all HTTPS connections fail"
    return Finding("certificates", PROBLEM, found, fix)


def passwords(subject: Subject) -> Finding | None:
    """Check that ~/.netrc doesn't override this project's MLflow password.

    MLflow's clients use requests, which prefers the file's entry for a host to any other password.
    """
    home = subject.environ.get("HOME") or str(Path.home())
    path = Path(subject.environ.get("NETRC") or Path(home, ".netrc"))
    try:
        hosts = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):  # requests ignores it too
        return None
    ours = next((name for name in ("127.0.0.1", "localhost", "default") if name in hosts), None)
    if not ours:
        return Finding("passwords", OK, f"{path} has no entry for this machine")
    entry = ours if ours == "default" else f"machine {ours}"
    found = f"{path} has an entry `{entry}`, which MLflow's clients send to this project's MLflow"
    look = f"grep -n {ours} {shlex.quote(str(path))}"
    fix = f"# Remove the entry, or name the hosts it is meant for.\n{look}"
    return Finding("passwords", PROBLEM, found, fix)


def proxy(subject: Subject) -> Finding | None:
    """Check that a proxy, if set, is bypassed for this machine itself."""
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
        return Finding("proxy", OK, f"{found} is set, and bypassed for this machine")
    fix = (
        "# Services don't need this; your own programs do. Add it where the proxy is set, such\n"
        "# as ~/.profile.\n"
        f'export NO_PROXY="{",".join(missing)}${{NO_PROXY:+,$NO_PROXY}}"\n'
        'export no_proxy="$NO_PROXY"'
    )
    return Finding("proxy", WARNING, f"{found} is set, but NO_PROXY lacks {missing[0]}", fix)
