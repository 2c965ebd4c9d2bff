"""Which operating system this is, and how one installs and starts things on it."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LINUX, MACOS, WSL1, WSL2, WINDOWS = "linux", "macos", "wsl1", "wsl2", "windows"

# By the distribution, or a distribution that it says to be like.
_INSTALL = {
    "debian": "apt-get install --yes",
    "fedora": "dnf install",
    "arch": "pacman -S",
    "suse": "zypper install",
    "alpine": "apk add",
}


@dataclass(frozen=True)
class System:
    """An operating system.

    `family` holds the distribution's id and those that it is like, the nearest first. `top` is
    the folder in which /proc, /sys and /run are looked for.
    """

    kind: str
    name: str
    family: tuple[str, ...] = ()
    machine: str = ""
    top: Path = Path("/")

    @property
    def is_wsl(self) -> bool:
        return self.kind in {WSL1, WSL2}

    @property
    def sudo(self) -> str:
        """What must stand before a command that root alone may give."""
        return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "

    @property
    def has_systemd(self) -> bool:
        return (self.top / "run" / "systemd" / "system").is_dir()

    def install(self, package: str) -> str:
        """The command that installs a package of the system's own, under its usual name."""
        if self.kind == MACOS:
            return f"brew install {package}"
        for name in self.family:
            if name in _INSTALL:
                return f"{self.sudo}{_INSTALL[name]} {package}"
        return f"# Install {package} with your system's package manager."


def read(top: Path = Path("/")) -> System:
    """Find out which system this is. `top` is another folder than / in tests only."""
    machine = platform.machine()
    if sys.platform == "darwin":
        return System(MACOS, f"macOS {platform.mac_ver()[0]}", machine=machine)
    if sys.platform == "win32":
        return System(WINDOWS, f"Windows {platform.release()}", machine=machine)
    release = _os_release(_text(top / "etc" / "os-release"))
    name = release.get("PRETTY_NAME", "Linux")
    family = (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    kernel = _text(top / "proc" / "version")
    kind = LINUX
    if "microsoft" in kernel.lower():
        # WSL1 has no Linux kernel; what it claims to have ends so: 4.4.0-19041-Microsoft.
        kind = WSL1 if re.search(r"version 4\.4\.\d+-\d+-Microsoft", kernel) else WSL2
        name = f"{name} in {kind.upper()}"
    return System(kind, name, family, machine, top)


def _os_release(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
