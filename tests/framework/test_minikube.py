"""minikube_manager.py against doubles of the program `minikube` and of the Kubernetes API.

What they can't prove is tried on a real Minikube before each release (.github/workflows).
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from plumbum import local

from gaiaflow.cli import common, minikube
from gaiaflow.minikube import kubeconfig, program, serving
from gaiaflow.project.project import prepare

from .conftest import TEMPLATE, secrets_of

DOUBLES = Path(__file__).resolve().parents[1] / "kubernetes"


class Manager:
    """A project, its manager, and the double of its cluster."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home
        self.config = root / "kube_config_inline"

    def __call__(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in this process: a new one for each would take a minute for all tests."""
        out, err = io.StringIO(), io.StringIO()
        there = {
            "PATH": f"{DOUBLES}{os.pathsep}{os.environ['PATH']}",
            "MINIKUBE_DOUBLE": str(self.home),
            "MINIKUBE_DOUBLE_API": self.api,
            "KUBECONFIG": str(self.home / "of-the-user"),
        }
        with contextlib.ExitStack() as stack:
            stack.enter_context(local.env(**there))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(signal, "signal", lambda *_: None)
            patch.setattr(sys, "stdin", io.StringIO(given))
            patch.setattr(sys, "argv", ["minikube_manager.py", *arguments])
            patch.setattr(common, "find_root", lambda: self.root)
            ended = stack.enter_context(pytest.raises(SystemExit))
            minikube.main()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(
            arguments, ended.value.code, out.getvalue(), err.getvalue()
        )

    @property
    def api(self) -> str:
        config = json.loads((self.home / "kubeconfig.json").read_text())
        return str(config["clusters"][0]["cluster"]["server"])

    def object(self, path: str) -> Any:
        request = urllib.request.Request(
            f"{self.api}/{path}", headers={"Authorization": "Bearer only-for-tests"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def create(self, name: str, values: dict[str, str]) -> None:
        """A secret as kubectl makes it."""
        body = {"metadata": {"name": name}, "stringData": values}
        request = urllib.request.Request(
            f"{self.api}/api/v1/namespaces/default/secrets",
            data=json.dumps(body).encode(),
            headers={"Authorization": "Bearer only-for-tests"},
        )
        urllib.request.urlopen(request).close()

    def secret(self, name: str) -> dict[str, str]:
        data = self.object(f"api/v1/namespaces/default/secrets/{name}")["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "calls").read_text().splitlines()]


@pytest.fixture
def manage(project_root: Path, tmp_path: Path) -> Iterator[Manager]:
    home = tmp_path / "cluster"
    home.mkdir()
    prepare(project_root)  # makes .env
    (project_root / "gaiaflow").symlink_to(TEMPLATE / "gaiaflow")
    with (home / "double.log").open("w") as log:
        double = subprocess.Popen(
            [sys.executable, DOUBLES / "double.py", home], stdout=log, stderr=log
        )
    deadline = time.monotonic() + 60
    while not (home / "kubeconfig.json").exists():
        assert double.poll() is None, (home / "double.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    manager = Manager(project_root, home)
    yield manager
    manager("stop")
    double.terminate()
    double.wait(30)


def test_a_session(manage: Manager) -> None:
    assert "There is no cluster" in manage("status").stdout
    started = manage("start")
    assert started.returncode == 0, started.stderr
    assert "minikube: starting" in started.stderr
    assert "0/3 Initial Minikube Setup" in started.stderr
    env = prepare(manage.root).env
    profile = env["COMPOSE_PROJECT_NAME"]
    assert {call[1] for call in manage.calls()} == {profile}
    shown = json.loads(manage("status", "--json").stdout)
    assert shown["profile"] == profile
    assert [node["host"] for node in shown["nodes"]] == ["Running"]
    assert shown["config"] == str(manage.config)
    # Pods reach the servers by name, at the address that the gateway has.
    for name, port, setting in (
        ("mlflow", 5000, "MLFLOW_PORT"),
        ("object-store", 8333, "OBJECT_STORE_PORT"),
    ):
        service = manage.object(f"api/v1/namespaces/default/services/{name}")
        assert [p["port"] for p in service["spec"]["ports"]] == [port]
        part = manage.object(f"apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{name}")
        assert part["endpoints"][0]["addresses"] == ["127.0.0.9"]
        assert part["ports"][0]["port"] == int(env[setting])
        assert part["metadata"]["labels"]["kubernetes.io/service-name"] == name
    assert manage.secret("gaiaflow") == {
        name: env[name]
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "MLFLOW_TRACKING_USERNAME",
            "MLFLOW_TRACKING_PASSWORD",
        )
    }
    assert manage("gateway").stdout == "127.0.0.9\n"
    assert manage("stop").returncode == 0
    assert "Stopped" in manage("status").stdout
    assert manage("clean").returncode == 0
    assert not manage.config.exists()
    assert "There is no cluster" in manage("status").stdout


def test_the_kubeconfig_names_this_cluster_only(manage: Manager) -> None:
    assert manage("start").returncode == 0
    assert manage.config.stat().st_mode & 0o777 == 0o600
    text = manage.config.read_text(encoding="utf-8")
    assert "production" not in text
    config = yaml.safe_load(text)
    assert config["current-context"] == "host"
    servers = {item["name"]: item["cluster"]["server"] for item in config["clusters"]}
    profile = prepare(manage.root).env["COMPOSE_PROJECT_NAME"]
    assert servers == {"host": manage.api, "containers": f"https://{profile}:8443"}
    authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority) == b"the authority\n"
    assert not (manage.home / "of-the-user").exists()  # the user's own stays as it is


def test_what_arrives_at_the_gateway_reaches_the_server(manage: Manager) -> None:
    port = prepare(manage.root).port("MLFLOW_PORT")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            pytest.skip(f"somebody uses port {port}")
    assert manage("start").returncode == 0
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(30)
        with connect("127.0.0.9", port) as pod:
            inner, _ = server.accept()
            with inner:
                pod.sendall(b"ping")
                assert inner.recv(10) == b"ping"
                inner.sendall(b"pong")
                assert pod.recv(10) == b"pong"
    assert manage("stop").returncode == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.9", port)) != 0


def connect(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((host, port), timeout=30)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_secrets(manage: Manager, tmp_path: Path) -> None:
    assert manage("start").returncode == 0
    assert "created archive: A, B" in manage("secret", "archive", "A=1", "B=x=y").stderr
    file = tmp_path / "more.env"
    file.write_text("B=2\nC='3 4'\n")
    assert "changed archive" in manage("secret", "archive", "--from-env-file", str(file)).stderr
    assert manage.secret("archive") == {"A": "1", "B": "2", "C": "3 4"}
    listed = manage("secret", "list").stdout
    assert "A, B, C" in listed
    assert "3 4" not in listed
    assert manage("secret", "delete", "archive").returncode == 0
    again = manage("secret", "delete", "archive")
    assert again.returncode == 1
    assert "There is no secret 'archive'. Gaiaflow's secrets: gaiaflow." in again.stderr
    for call in manage.calls():  # no value on the command line of another program
        assert "3 4" not in call


def test_a_secret_of_somebody_else_keeps_its_values(manage: Manager) -> None:
    """As one by the name of ours, which kubectl has made as in production."""
    env = prepare(manage.root).env
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    manage.create("gaiaflow", {**{key: env[key] for key in keys}, "MORE": "mine"})
    assert manage("start").returncode == 0  # the same values: nothing to say
    assert manage.secret("gaiaflow")["MORE"] == "mine"
    manage.create("archive", {"TOKEN": "mine"})
    refused = manage("secret", "archive", "TOKEN=other")
    assert refused.returncode == 1
    assert "secret 'archive' that is not Gaiaflow's already has a different" in refused.stderr
    assert "different TOKEN" in refused.stderr
    assert "delete secret archive" in refused.stderr
    assert manage("secret", "archive", "USER=me").returncode == 0
    assert manage.secret("archive") == {"TOKEN": "mine", "USER": "me"}


def test_what_the_cluster_refuses_is_said_in_its_words(manage: Manager) -> None:
    assert manage("start").returncode == 0
    (manage.home / "denied").write_text("create secrets")
    refused = manage("secret", "archive", "TOKEN=s3cr3t")
    assert refused.returncode == 1
    assert 'cannot create resource "secrets"' in refused.stderr
    assert "s3cr3t" not in refused.stderr


def test_a_certificate_that_is_not_trusted_is_called_so(manage: Manager) -> None:
    assert manage("start").returncode == 0
    port = (manage.home / "serviceaccount" / "port").read_text()
    text = manage.config.read_text(encoding="utf-8")
    known = yaml.safe_load(text)
    for item in known["clusters"]:
        item["cluster"] = {"server": f"https://127.0.0.1:{port}"}
    manage.config.write_text(yaml.safe_dump(known), encoding="utf-8")
    said = manage("secret", "list")
    assert said.returncode == 1
    assert "The cluster's certificate is not trusted" in said.stderr
    assert "does not answer" not in said.stderr


@pytest.mark.parametrize("linked", [False, True])
def test_own_variables_of_env_and_not_ours(manage: Manager, tmp_path: Path, linked: bool) -> None:
    if linked:
        (manage.root / ".env").rename(tmp_path / "settings")
        (manage.root / ".env").symlink_to(tmp_path / "settings")
    with (manage.root / ".env").open("a") as env:
        env.write("EARTHDATA_TOKEN=abc\n")
    assert manage("start").returncode == 0
    assert manage("secret", "mine", "--from-env-file", str(manage.root / ".env")).returncode == 0
    assert manage.secret("mine") == {"EARTHDATA_TOKEN": "abc"}


@pytest.mark.parametrize(
    "arguments",
    [("secret", "Bad_Name", "A=1"), ("secret", "a", "1A=1"), ("secret", "a"), ("strat",)],
)
def test_wrong_use(manage: Manager, arguments: tuple[str, ...]) -> None:
    assert manage("start").returncode == 0
    assert manage(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        (23, "Ask for less: MINIKUBE_MEMORY=4g"),
        (80, "minikube_manager.py clean, then ... start"),
        (89, "minikube_manager.py restart"),
        (107, ""),
    ],
)
def test_a_start_that_fails_says_why(manage: Manager, code: int, fix: str) -> None:
    (manage.home / "fails").write_text(str(code))
    done = manage("start")
    assert done.returncode == 1
    assert f"error: minikube failed with exit code {code}." in done.stderr
    assert "what went wrong\nwhat to try\n" in done.stderr
    assert fix in done.stderr
    assert not manage.config.exists()


def test_without_a_cluster(manage: Manager) -> None:
    for command in (("stop",), ("gateway",)):
        done = manage(*command)
        assert done.returncode == 1
        assert "minikube_manager.py start" in done.stderr
    assert "kube_config_inline, which tells where" in manage("secret", "list").stderr


def test_a_code_without_words_names_the_doctor() -> None:
    assert "mlops_manager.py doctor" in program.explain(60, "")


def test_a_kubeconfig_without_the_cluster(tmp_path: Path) -> None:
    source = tmp_path / "kubeconfig"
    source.write_text("clusters: []\nusers: []\n")
    with pytest.raises(Exception, match="does not have the cluster forest"):
        kubeconfig.write(source, "forest", tmp_path / "kube_config_inline")


def test_deploying_needs_a_cluster(manage: Manager) -> None:
    done = manage("deploy")
    assert done.returncode == 1
    assert "Create it: python3 minikube_manager.py start" in done.stderr, done


def test_what_pods_that_serve_are_told(project_root: Path) -> None:
    project = prepare(project_root)
    told = serving.settings(project)
    assert told["SERVING_MODEL"] == "landcover"
    assert told["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert not [value for value in told.values() if value in secrets_of(project)]
    [deployment, *_] = serving.manifests("project:1")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "project:1"
