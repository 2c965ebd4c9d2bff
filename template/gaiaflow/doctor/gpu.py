"""Check an NVIDIA GPU: its driver, and whether containers and pods can use it."""

from __future__ import annotations

import json
from pathlib import Path

from gaiaflow.doctor import docker
from gaiaflow.doctor.finding import OK, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.project.paths import StateFolder

_NVIDIA = "0x10de"  # https://pci-ids.ucw.cz
_DISPLAY = "0x03"  # the class of graphics cards and accelerators
_QUERY = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_PATIENCE = 4.0  # times the limit: without persistence mode, each GPU takes seconds to start
_DRIVER = "# https://docs.nvidia.com/datacenter/tesla/driver-installation-guide"
_TOOLKIT = "# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit"


def gpu(subject: Subject) -> Finding | None:
    """Check that the driver of a GPU works."""
    program = _nvidia_smi(subject)
    if not program:
        if not _has_card(subject):
            return None
        fix = f"# Install it, and start the machine again:\n{_DRIVER}"
        return Finding("gpu", WARNING, "an NVIDIA card, but its driver is not installed", fix)
    answer = subject.programs.ask(program, *_QUERY, times=_PATIENCE)
    if not answer.code:
        return Finding("gpu", OK, "; ".join(answer.out.strip().splitlines()))
    if not _has_card(subject):  # only the program is there, as in some images
        return None
    sudo = subject.system.sudo
    if answer.timed_out:
        fix = (
            "# Keep the driver loaded, so that GPUs needn't start for each program:\n"
            f"{sudo}nvidia-smi -pm 1\n"
            f"{sudo}dmesg | grep -i nvrm | tail    # if that hangs, too"
        )
        return Finding("gpu", WARNING, answer.complaint, fix)
    if "mismatch" in answer.out + answer.err:
        fix = f"# It was updated while it was in use. Start the machine again:\n{sudo}reboot"
    else:
        why = f"{sudo}dmesg | grep -i -e nvrm -e nouveau | tail    # why it does not load"
        fix = f"{sudo}modprobe nvidia\n{why}\n{_DRIVER}"
    return Finding("gpu", WARNING, f"the driver does not work: {answer.complaint}", fix)


def gpu_containers(subject: Subject) -> Finding | None:
    """Check that containers get the GPU."""
    if not _works(subject) or docker.reach(subject) != docker.ANSWERS:
        return None
    check = "gpu-containers"
    try:
        info = json.loads(subject.programs.ask("docker", "info", "--format", "{{json .}}").out)
    except ValueError:
        return None
    devices = [str(found.get("ID", "")) for found in info.get("DiscoveredDevices") or []]
    if "nvidia" in (info.get("Runtimes") or {}):
        return Finding(check, OK, "Docker has NVIDIA's runtime")
    if any(device.startswith("nvidia.com/gpu") for device in devices):
        return Finding(check, OK, "Docker finds the GPU (CDI)")
    if subject.programs.find("nvidia-ctk"):
        sudo = subject.system.sudo
        fix = f"{sudo}nvidia-ctk runtime configure --runtime=docker\n{sudo}systemctl restart docker"
        found = "NVIDIA's container toolkit is installed, but Docker does not use it"
    else:
        fix = f"# Install NVIDIA's container toolkit, and configure Docker:\n{_TOOLKIT}"
        found = "no container toolkit"
    return Finding(check, WARNING, f"{found} (needed only for tasks in containers)", fix)


def gpu_minikube(subject: Subject) -> Finding | None:
    """Check that pods in Minikube get the GPU."""
    if not subject.identity.get("kubernetes") or not _works(subject):
        return None
    check = "gpu-minikube"
    config = StateFolder(subject.root).kubeconfig
    ask = ("kubectl", f"--kubeconfig={config}", "get", "nodes", "--output=json")
    answer = subject.programs.ask(*ask) if config.exists() else None
    try:
        nodes = json.loads(answer.out)["items"] if answer else []
        count = sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)
    except (ValueError, KeyError, TypeError):
        nodes, count = [], 0
    if count:
        return Finding(check, OK, f"pods can use {count} GPU{'s' if count > 1 else ''}")
    if not nodes and subject.env.get("MINIKUBE_GPUS"):
        return Finding(check, OK, "the next cluster gets it: MINIKUBE_GPUS is set in .env")
    fix = (
        "# Minikube decides when it creates the cluster. Put MINIKUBE_GPUS=all into .env, then:\n"
        "python3 minikube_manager.py clean\n"
        "python3 minikube_manager.py start"
    )
    return Finding(check, WARNING, "pods can't use the GPU (needed only for tasks with a GPU)", fix)


def _works(subject: Subject) -> bool:
    found = gpu(subject)
    return found is not None and found.level == OK


def _nvidia_smi(subject: Subject) -> str | None:
    """The program of the driver; WSL2 has it outside of most PATHs."""
    return subject.programs.find("nvidia-smi", Path("/usr/lib/wsl/lib"))


def _has_card(subject: Subject) -> bool:
    """Whether a card is in the machine, with or without a driver (Linux)."""
    for device in (subject.system.top / "sys" / "bus" / "pci" / "devices").glob("*"):
        try:
            vendor, kind = ((device / name).read_text("ascii") for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor.strip() == _NVIDIA and kind.startswith(_DISPLAY):
            return True
    return False
