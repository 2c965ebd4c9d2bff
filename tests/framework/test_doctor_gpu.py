"""doctor: GPUs. No machine of ours has one, so small programs say what NVIDIA's and Docker say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gaiaflow.doctor import OK, WARNING, gpu

from .doctor import look, script, seen
from .test_doctor_machine import identify

ANSWER = "echo 'NVIDIA H200, 143771 MiB, 570.124.06'"
VERSION = '{"Client":{},"Server":{"Version":"28.3.0","Os":"linux","Arch":"amd64"}}'


def machine(
    folder: Path, programs: dict[str, str], card: bool = True
) -> tuple[dict[str, str], Path]:
    """The variables and the root folder of a machine with these programs, and perhaps a card."""
    for name, text in programs.items():
        script(folder / "bin" / name, text)
    if card:
        for device, words in {"a": ("0x8086", "0x0600"), "b": ("0x10de", "0x0302")}.items():
            place = folder / "top" / "sys" / "bus" / "pci" / "devices" / device
            place.mkdir(parents=True)
            for name, word in zip(("vendor", "class"), words, strict=True):
                (place / name).write_text(f"{word}00\n" if name == "class" else f"{word}\n")
    return {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(folder)}, folder / "top"


def docker(**info: object) -> str:
    return f"""case "$1" in
version) echo '{VERSION}' ;;
info) echo '{json.dumps(info)}' ;;
*) exit 1 ;;
esac"""


def test_a_gpu_that_works(project_root: Path, tmp_path: Path) -> None:
    environ, top = machine(tmp_path, {"nvidia-smi": ANSWER})
    finding = seen(look(project_root, gpu.gpu, environ, top))
    assert (finding.level, finding.found) == (OK, "NVIDIA H200, 143771 MiB, 570.124.06")


def test_a_machine_without(project_root: Path, tmp_path: Path) -> None:
    fails = "echo 'NVIDIA-SMI has failed' >&2; exit 9"
    for number, programs in enumerate(({}, {"nvidia-smi": fails})):
        environ, top = machine(tmp_path / str(number), programs, card=False)
        for check in (gpu.gpu, gpu.gpu_containers, gpu.gpu_minikube):
            assert look(project_root, check, environ, top) is None


@pytest.mark.parametrize(
    ("says", "found", "fix"),
    [
        (None, "driver is not installed", "driver-installation-guide"),
        ("Failed to initialize NVML: Driver/library version mismatch", "mismatch", "reboot"),
        ("couldn't communicate with the NVIDIA driver", "communicate", "modprobe nvidia"),
    ],
)
def test_a_driver_that_fails(
    project_root: Path, tmp_path: Path, says: str | None, found: str, fix: str
) -> None:
    programs = {"nvidia-smi": f'echo "{says}"; exit 9'} if says else {}
    environ, top = machine(tmp_path, programs)
    finding = seen(look(project_root, gpu.gpu, environ, top))
    assert finding.level == WARNING and found in finding.found and fix in finding.fix


def test_a_driver_that_is_slow(project_root: Path, tmp_path: Path) -> None:
    environ, top = machine(tmp_path, {"nvidia-smi": f"sleep 0.9; {ANSWER}"})
    assert seen(look(project_root, gpu.gpu, environ, top, limit=5)).level == OK
    finding = seen(look(project_root, gpu.gpu, environ, top, limit=0.1))
    assert finding.level == WARNING and "did not answer within" in finding.found
    assert "nvidia-smi -pm 1" in finding.fix and "modprobe" not in finding.fix


@pytest.mark.parametrize(
    ("info", "programs", "level", "found"),
    [
        ({"Runtimes": {"nvidia": {}, "runc": {}}}, {}, OK, "runtime"),
        ({"DiscoveredDevices": [{"ID": "nvidia.com/gpu=all"}]}, {}, OK, "CDI"),
        ({"Runtimes": {"runc": {}}}, {"nvidia-ctk": "true"}, WARNING, "does not use it"),
        ({"Runtimes": None, "DiscoveredDevices": None}, {}, WARNING, "no container toolkit"),
    ],
)
def test_containers(
    project_root: Path,
    tmp_path: Path,
    info: dict[str, object],
    programs: dict[str, str],
    level: str,
    found: str,
) -> None:
    environ, top = machine(tmp_path, {"nvidia-smi": ANSWER, "docker": docker(**info), **programs})
    finding = seen(look(project_root, gpu.gpu_containers, environ, top))
    assert finding.level == level and found in finding.found


def test_minikube(project_root: Path, tmp_path: Path) -> None:
    node = {"status": {"allocatable": {"cpu": "4", "nvidia.com/gpu": "1"}}}
    kubectl = f"echo '{json.dumps({'items': [node]})}'"
    environ, top = machine(tmp_path, {"nvidia-smi": ANSWER, "kubectl": kubectl})
    assert look(project_root, gpu.gpu_minikube, environ, top) is None  # it uses no Kubernetes
    identify(project_root, kubernetes=True)
    finding = seen(look(project_root, gpu.gpu_minikube, environ, top))
    assert finding.level == WARNING and "MINIKUBE_GPUS=all" in finding.fix
    (project_root / ".env").write_text("MINIKUBE_GPUS=all\n", encoding="utf-8")
    assert seen(look(project_root, gpu.gpu_minikube, environ, top)).level == OK
    config = project_root / ".gaiaflow" / "minikube" / "kubeconfig"
    config.parent.mkdir(parents=True)
    config.touch()
    finding = seen(look(project_root, gpu.gpu_minikube, environ, top))
    assert (finding.level, finding.found) == (OK, "pods can use 1 GPU")
    del node["status"]["allocatable"]["nvidia.com/gpu"]
    script(tmp_path / "bin" / "kubectl", f"echo '{json.dumps({'items': [node]})}'")
    assert seen(look(project_root, gpu.gpu_minikube, environ, top)).level == WARNING
