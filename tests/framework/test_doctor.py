"""doctor as a whole: what it covers, and that it works where nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaiaflow import doctor
from gaiaflow.doctor import OK, PROBLEM, diagnose, examine

from .conftest import IDENTITY, TEMPLATE
from .doctor import listening, lone_python, manage, only, script

DOCS = TEMPLATE.parent / "docs"

# The Troubleshooting section of the original's README, entry by entry.
ORIGINAL = {
    "0. on Windows, use the miniforge prompt": ["operating_system", "environment_manager"],
    "1. Docker Daemon not started": ["docker_engine"],
    "2. Got permission denied ... docker.sock": ["docker_permission"],
    "3. Cannot connect ..., two contexts of docker": ["docker_context"],
    "3. credsStore desktop in ~/.docker/config.json": ["docker_credentials"],
    "4. Permission Denied on files": ["file_owner"],
}


@pytest.mark.parametrize("entry", ORIGINAL)
def test_every_entry_of_the_originals_troubleshooting_is_a_check(entry: str) -> None:
    checks = {check.__name__ for check in doctor.CHECKS}
    assert set(ORIGINAL[entry]) <= checks


def test_every_check_is_made_and_documented(project_root: Path, tmp_path: Path) -> None:
    text = IDENTITY.replace('"uv"', '"pixi"').replace("kubernetes = false", "kubernetes = true")
    (project_root / "pyproject.toml").write_text(text, encoding="utf-8")
    top = tmp_path / "top"
    (top / "proc").mkdir(parents=True)
    (top / "proc" / "version").write_text("Linux version 5.15.1-microsoft-standard-WSL2\n")
    shutil.copy("/proc/meminfo", top / "proc")
    server = """version) echo '{"Server":{"Version":"28"}}'"""
    script(tmp_path / "only" / "docker", f"case $1 in {server} ;; info) echo '{{}}' ;; esac")
    script(tmp_path / "only" / "nvidia-smi", "echo 'NVIDIA H200, 143771 MiB, 570.124.06'")
    set_here = {"HTTPS_PROXY": "http://proxy.example", "SSL_CERT_FILE": __file__, "UV_FROZEN": "1"}
    environ = {**only(tmp_path), **set_here}
    Path(environ["HOME"], ".netrc").write_text("machine archive.example login me password x\n")
    found = list(diagnose(examine(project_root, environ, top)))
    names = [finding.check for finding in found]
    assert names == [check.__name__.replace("_", "-") for check in doctor.CHECKS]
    assert not [finding for finding in found if finding.found.startswith("not checked")]
    page = (DOCS / "reference" / "doctor.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in page]


def test_without_environment_settings_or_programs(bare_project: Path, tmp_path: Path) -> None:
    done = manage(bare_project, only(tmp_path), "doctor", "--json")
    assert done.returncode == 1, done
    assert done.stderr == ""
    found = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert all(set(entry) == {"check", "level", "found", "fix"} for entry in found.values())
    red = {name for name, entry in found.items() if entry["level"] == PROBLEM}
    assert red == {"uv", "git"}
    assert all(bool(entry["fix"]) == (entry["level"] != OK) for entry in found.values())
    assert not [entry for entry in found.values() if entry["found"].startswith("not checked")]
    assert not (bare_project / ".env").exists() and not (bare_project / ".gaiaflow").exists()


@pytest.mark.parametrize(
    ("file", "text", "check"),
    [
        (".env", b"nonsense\n", "env-file"),
        (".env", b"\xff\xfe", "env-file"),
        ("pyproject.toml", b"[tool.gaiaflow", "project-file"),
        ("pyproject.toml", b"tool = 1", "project-file"),
        ("gaiaflow/services/__init__.py", b"<<<<<<< before updating", "ports"),
    ],
    ids=["line", "bytes", "no TOML", "strange TOML", "conflict"],
)
def test_with_broken_files(
    bare_project: Path, tmp_path: Path, file: str, text: bytes, check: str
) -> None:
    (bare_project / file).write_bytes(text)
    done = manage(bare_project, only(tmp_path, "git"), "doctor", "--json")
    found = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert "Traceback" not in done.stderr
    assert found[check]["level"] != OK, found[check]
    assert (bare_project / file).read_bytes() == text


def test_the_text_and_the_exit_code(bare_project: Path, tmp_path: Path) -> None:
    environ = only(tmp_path, "git")
    done = manage(bare_project, environ, "doctor")
    assert done.returncode == 1, done
    assert "✗ uv" in done.stdout and "\n    curl -LsSf" in done.stdout
    assert "✓ operating-system" in done.stdout
    assert "\x1b" not in done.stdout
    script(tmp_path / "only" / "uv", "")
    assert manage(bare_project, environ, "doctor").returncode == 0


def test_with_rich_it_says_the_same(bare_project: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from gaiaflow.doctor.report import report; " + (
        "sys.exit(report(Path(sys.argv[1])))"
    )
    environ = {**only(tmp_path), "PYTHONPATH": str(bare_project)}
    outputs = []
    for python, option in ((sys.executable, "-B"), (lone_python(tmp_path), "-S")):
        command = [python, option, "-c", code, str(bare_project)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done
        lines = done.stdout.splitlines()
        outputs.append([line for line in lines if not line.startswith(("✓ memory", "✓ disk"))])
    with_rich, without = outputs
    # uv is in this environment, and its Python is named.
    different = [line for line in with_rich if line not in without]
    assert all("uv" in line or "python" in line or " ok, " in line for line in different)


def test_as_a_command_in_airflows_environment(bare_project: Path, tmp_path: Path) -> None:
    code = "from gaiaflow.cli.mlops import main; main()"
    environ = {**only(tmp_path, "git"), "PYTHONPATH": str(bare_project)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "doctor", "--json"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {entry["check"]: entry["level"] for entry in json.loads(done.stdout)}
    assert found["project-file"] == OK
    assert done.returncode == (PROBLEM in found.values())


def test_a_reader_that_has_seen_enough(bare_project: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [lone_python(tmp_path), "-S", str(bare_project / "mlops_manager.py"), "doctor"],
        env=only(tmp_path),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_use(bare_project: Path, tmp_path: Path) -> None:
    environ = only(tmp_path)
    assert manage(bare_project, environ, "doctor", "--nonsense").returncode == 2
    shown = manage(bare_project, environ, "doctor", "--help")
    assert (shown.returncode, "--json" in shown.stdout) == (0, True)


def test_who_can_not_start_is_sent_to_the_doctor(bare_project: Path, tmp_path: Path) -> None:
    done = manage(bare_project, only(tmp_path), "status")
    assert done.returncode == 1, done
    assert "uv was not found" in done.stderr
    assert "python3 mlops_manager.py doctor" in done.stderr


def test_a_check_that_fails_hides_no_other(project_root: Path) -> None:
    subject = examine(project_root)
    shutil.rmtree(project_root)
    found = {finding.check: finding for finding in diagnose(subject)}
    assert found["disk"].found.startswith("not checked: FileNotFoundError")
    assert found["operating-system"].level == OK


@pytest.mark.skipif(not shutil.which("docker"), reason="docker is not installed here")
def test_an_engine_that_hangs_does_not_hang_the_doctor(project_root: Path) -> None:
    said = []
    with listening() as path:
        environ = {**os.environ, "DOCKER_HOST": f"unix://{path}"}
        subject = examine(project_root, environ, limit=8.0)
        found = {finding.check: finding for finding in diagnose(subject, lambda: said.append(1))}
    assert "did not answer" in found["docker-engine"].found
    assert found["memory"].check == "memory"
    assert said == [1], "nothing, or too much, was said meanwhile"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_no_checkmark(project_root: Path, encoding: str) -> None:
    """With rich, as in the manager; without, the test of the text covers it."""
    code = "import sys; from pathlib import Path; from gaiaflow.doctor.report import report; " + (
        "report(Path(sys.argv[1]))"
    )
    environ = {**os.environ, "PYTHONPATH": str(TEMPLATE), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", code, str(project_root)]
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert done.stderr == b""
    assert b"? operating-system" in done.stdout
