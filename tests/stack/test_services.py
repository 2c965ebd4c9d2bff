"""The services as they run: what they say of themselves, and to whom they speak."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest
from plumbum import local

from .conftest import SERVICES, Project, execute, listens, person

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer; 0 if nobody speaks HTTP there."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers, method=method)
    if data:
        request.add_header("Content-Type", "application/json")
    try:
        with _opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError):
        return 0, b""
    except Exception as error:  # an answer that is no HTTP, such as gRPC's
        assert type(error).__module__ == "http.client", error
        return 0, b""


def test_status(stack: Project) -> None:
    states = stack.manage("status", "--json").json()
    assert {item["service"] for item in states} == SERVICES
    for item in states:
        assert set(item) == {"service", "state", "url", "pid", "container"}
        assert item["container"] is None
        assert item["state"] == "healthy"
        assert psutil.Process(item["pid"]).environ()["GAIAFLOW_SERVICE"] == item["service"]
    pages = {item["service"]: item["url"] for item in states if item["url"]}
    assert pages == {
        "airflow-api-server": stack.url("AIRFLOW_PORT") + "/",
        "mlflow": stack.url("MLFLOW_PORT") + "/",
        "object-store": stack.url("OBJECT_STORE_PORT") + "/",
        "jupyterlab": stack.url("JUPYTER_PORT") + "/lab",
    }


def test_status_for_a_person_says_how_to_log_in(stack: Project) -> None:
    shown = stack.manage("status").out
    passwords = ("AIRFLOW_PASSWORD", "MLFLOW_TRACKING_PASSWORD", "JUPYTER_TOKEN")
    for said in (*SERVICES, *(stack.env[name] for name in passwords)):
        assert said in shown
    assert stack.env["AWS_SECRET_ACCESS_KEY"] not in shown


def test_logs(stack: Project) -> None:
    done = stack.manage("logs", "airflow-dag-processor")
    assert done.code == 0
    assert done.out.strip()


def test_all_sockets_are_on_this_machine_only(stack: Project) -> None:
    addresses = set()
    for process in stack.processes():
        with contextlib.suppress(psutil.Error):  # it has ended, such as one that reads a DAG
            for connection in process.net_connections("all"):
                if connection.status == psutil.CONN_LISTEN:
                    addresses.add((connection.laddr.ip, connection.laddr.port))
    assert {port for _, port in addresses} >= set(stack.ports())
    assert {ip for ip, _ in addresses} == {"127.0.0.1"}


def test_secrets_are_the_owners_alone(stack: Project) -> None:
    for file in (".env", ".gaiaflow/airflow-home/passwords.json"):
        assert stat.S_IMODE((stack.root / file).stat().st_mode) == 0o600, file
    secrets = [value for value in stack.env.values() if len(value) >= 16]
    for line in stack.command_lines():
        assert not [secret for secret in secrets if secret in line], line


@pytest.fixture(scope="module")
def keys(stack: Project) -> Any:
    """An object that holds "only with keys", and how the store answered to several keys."""
    return stack.probe("keys")


def test_the_object_store_wants_keys(keys: Any) -> None:
    for call, code in keys["answers"].items():
        expected = {200} if call.startswith("right") else {400, 401, 403}
        assert code in expected, call
    assert keys["body"] == "only with keys"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/{bucket}",
        "/{bucket}?list-type=2",
        "/{bucket}/keys/probe.txt",
        "/buckets/",
        "/buckets/{bucket}/",
        "/buckets/{bucket}/keys/probe.txt",
        "/dir/assign",
        "/dir/status",
        "/vol/status",
        "/status",
        "/cluster/status",
        "/stats/disk",
        "/metrics",
        "/ui/index.html",
        "/api/files",
    ],
)
def test_no_port_of_the_object_store_tells_of_objects(stack: Project, keys: Any, path: str) -> None:
    bucket = stack.env["S3_BUCKET"]
    first = int(stack.env["OBJECT_STORE_PORT"])
    for port in [*range(first, first + 5), *range(first + 10000, first + 10005)]:
        code, body = ask(f"http://127.0.0.1:{port}{path.format(bucket=bucket)}")
        where = f"port {first} + {port - first}: {code} {body[:200]!r}"
        assert b"only with keys" not in body, where
        assert b"probe.txt" not in body or code >= 400, where
        assert b"fid" not in body, where  # a place to write to or to read from


def test_blobs_are_not_given_away(stack: Project, keys: Any) -> None:
    """Who has learned where an object's bytes lie needs keys all the same to read and write."""
    first = int(stack.env["OBJECT_STORE_PORT"])
    weed = local[str(stack.root / ".gaiaflow" / "airflow" / "bin" / "weed")]
    command = f"fs.meta.cat /buckets/{stack.env['S3_BUCKET']}/keys/probe.txt\n"
    certificate, key = (
        stack.root / ".gaiaflow" / "certificates" / name for name in ("certificate.pem", "key.pem")
    )
    own = {
        "WEED_GRPC_CA": certificate,
        "WEED_GRPC_CLIENT_CERT": certificate,
        "WEED_GRPC_CLIENT_KEY": key,
    }
    shell = weed["-logtostderr", "shell", f"-master=127.0.0.1:{first + 1}.{first + 10001}"]
    as_owner = shell.with_env(**{name: str(path) for name, path in own.items()})
    _, shown, _ = (as_owner << command).run(retcode=None, timeout=60)
    blobs = re.findall(r'"fileId":\s*"(\d+,[0-9a-f]+)"', shown)
    assert len(blobs) == 1, shown
    for method in ("GET", "DELETE", "PUT"):
        body = "x" if method == "PUT" else None
        code, answer = ask(f"http://127.0.0.1:{first + 2}/{blobs[0]}", body, method)
        assert code == 401, f"{method}: {code} {answer!r}"


def test_gdal_finds_the_object_store(stack: Project) -> None:
    assert stack.probe("store") == [[3, 4]]


def test_fsspec_finds_the_object_store(stack: Project, uv: str, tmp_path: Path) -> None:
    install = ("pip", "install", "--quiet", "--python", stack.python, "--target", tmp_path)
    done = execute(uv, *install, "s3fs", "xarray", "zarr", cwd=tmp_path)
    assert done.code == 0, done
    found = stack.probe("zarr_store", PYTHONPATH=str(tmp_path))
    assert found["values"] == [0.25, 0.5]
    assert found["objects"] > 0


def test_airflow_wants_a_password(stack: Project) -> None:
    token = stack.url("AIRFLOW_PORT") + "/auth/token"
    right = {"username": stack.env["AIRFLOW_USER"], "password": stack.env["AIRFLOW_PASSWORD"]}
    assert ask(token, right)[0] in {200, 201}
    assert ask(token, {**right, "password": "admin"})[0] == 401
    assert ask(token, {"username": "airflow", "password": "airflow"})[0] == 401
    assert ask(stack.url("AIRFLOW_PORT") + "/api/v2/dags")[0] == 401
    assert ask(stack.url("AIRFLOW_PORT") + "/api/v2/connections")[0] == 401


def test_jupyterlab_wants_a_token(stack: Project) -> None:
    contents = stack.url("JUPYTER_PORT") + "/api/contents"
    assert ask(contents)[0] == 403
    assert ask(contents + "?token=wrong")[0] == 403
    code, listed = ask(contents, Authorization=f"token {stack.env['JUPYTER_TOKEN']}")
    assert code == 200
    assert b"notebooks" in listed
    assert ask(stack.url("JUPYTER_PORT") + "/api/kernels", {}, method="POST")[0] == 403


def log_in(project: Project) -> dict[str, str]:
    """The header that opens MLflow."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = (project.env[name] for name in names)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def test_start_when_all_is_up_changes_nothing(stack: Project) -> None:
    before = stack.pids()
    done = stack.manage("start")
    assert done.code == 0, done
    assert stack.pids() == before
    assert all(listens(int(stack.env[name])) for name in ("AIRFLOW_PORT", "OBJECT_STORE_PORT"))


def test_a_pod_need_not_reach_the_store_of_mlflow(stack: Project) -> None:
    """MLflow would send it there, to the address that it has itself, if the pod did not object."""
    assert stack.probe("far_store", stack.env["MLFLOW_PORT"]) == "of a pod"


@pytest.mark.parametrize("password", ["right", "wrong-secret"])
def test_what_a_pod_of_the_doctor_finds(stack: Project, password: str) -> None:
    """`doctor prod` starts this in a pod: the servers are real here, and no secret is told."""
    names = ("AWS_ACCESS_KEY_ID", "S3_BUCKET", "AWS_DEFAULT_REGION", "MLFLOW_TRACKING_USERNAME")
    secrets = ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD")
    known = {name: stack.env[name] for name in (*names, *secrets)}
    if password != "right":
        known |= dict.fromkeys(secrets, password)
    urls = {"AWS_ENDPOINT_URL": "OBJECT_STORE_PORT", "MLFLOW_TRACKING_URI": "MLFLOW_PORT"}
    known |= {name: stack.url(port) for name, port in urls.items()}
    probe = ("-m", "gaiaflow.entrypoints.probe")
    done = execute(stack.python, *probe, cwd=stack.root, env=person(**known))
    report = json.loads(done.out.splitlines()[-1])
    assert not [secret for secret in secrets if known[secret] in done.out], done
    assert report["code"]["package"] == "forest_watch" and "error" not in report["code"]
    assert "127.0.0.1 is 127.0.0.1" in report["dns"]["found"]
    for part in ("mlflow", "store"):
        assert ("found" if password == "right" else "error") in report[part], report
    if password == "right":
        assert re.search(r"server (\d[\d.]+), client \1$", report["mlflow"]["found"])
        assert abs(report["store"]["ahead"]) < 5
    assert stack.manage("ls", "gaiaflow-doctor", "--json").json() == []
