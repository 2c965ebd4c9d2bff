"""The operating system, and how to install packages on it."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

LINUX, MACOS, WSL1, WSL2, WINDOWS = "linux", "macos", "wsl1", "wsl2", "windows"

# By the distribution, or one that it is based on.
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

    `family` holds the ids of the distribution and those it is based on, the nearest first. `top`
    is the folder that contains /proc, /sys and /run.
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
        """The prefix for commands that need root."""
        return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "

    @property
    def has_systemd(self) -> bool:
        return (self.top / "run" / "systemd" / "system").is_dir()

    def install(self, package: str) -> str:
        """The command that installs a package with the system's package manager."""
        if self.kind == MACOS:
            return f"brew install {package}"
        for name in self.family:
            if name in _INSTALL:
                return f"{self.sudo}{_INSTALL[name]} {package}"
        return f"# Install {package} with your system's package manager."


def read(top: Path = Path("/")) -> System:
    """Detect the operating system. `top` differs from / only in tests."""
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
        # WSL1 has no Linux kernel, but claims one such as 4.4.0-19041-Microsoft.
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
