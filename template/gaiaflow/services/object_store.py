"""The S3 object store: SeaweedFS, whose real server comes in a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflow import certificates
from gaiaflow.services.base import Service, airflow_python, data, listens
from gaiaflow.settings import OBJECT_STORE_PORTS, Project, client_env

_SERVERS = ("s3", "master", "volume", "filer", "admin")
_PORT_OPTIONS = [f"{server}.port{kind}" for kind in ("", ".grpc") for server in _SERVERS]


def _ports(project: Project) -> list[int]:
    """HTTP of each server, then gRPC of each, 10000 higher as SeaweedFS has it."""
    first = project.port("OBJECT_STORE_PORT")
    http = list(range(first, first + OBJECT_STORE_PORTS))
    return http + [port + 10000 for port in http]


def _sockets(project: Project) -> list[Path]:
    """Where its servers also listen for one another; no option moves them."""
    numbers = _ports(project)[OBJECT_STORE_PORTS:]
    return [
        Path(f"/tmp/seaweedfs-{server}-grpc-{number}.sock")
        for server, number in zip(_SERVERS, numbers, strict=True)
    ]


def _command(project: Project) -> list[str]:
    options: dict[str, Any] = {
        "dir": data(project) / "objects",
        "bucket": project.env["S3_BUCKET"],
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        **dict(zip(_PORT_OPTIONS, _ports(project), strict=True)),
        # Without keys of ours nothing may answer: no HTTP filer, no pages, no other protocols.
        "disableHttp": "true",
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
    }
    options["dir"].mkdir(exist_ok=True)
    for server in ("s3", "filer"):  # not in /tmp; relative, for a socket's path can't be long
        options[f"{server}.localSocket"] = f".gaiaflow/run/{server}.sock"
    weed = airflow_python(project).with_name("weed")
    # -logtostderr: its log goes where all others are; else it would stay in /tmp.
    return [str(weed), "-logtostderr", "mini", *(f"-{key}={v}" for key, v in options.items())]


def _env(project: Project) -> Mapping[str, str]:
    secret = project.env["AWS_SECRET_ACCESS_KEY"]
    # Without these its volume server would give and take blobs over HTTP without keys.
    signing = {"WEED_JWT_SIGNING_KEY": secret, "WEED_JWT_SIGNING_READ_KEY": secret}
    # Without these its gRPC ports would answer everybody: each server shows this certificate, and
    # talks to nobody who can't.
    certificate, key = certificates.make(project.state / "certificates")
    mutual = {"WEED_GRPC_CA": str(certificate)}
    for part in (*_SERVERS, "worker", "mq", "msg_broker", "msg_agent", "client"):
        mutual[f"WEED_GRPC_{part.upper()}_CERT"] = str(certificate)
        mutual[f"WEED_GRPC_{part.upper()}_KEY"] = str(key)
    # It would read ~/.seaweedfs, and keep its data as filer.toml there says.
    return {
        **client_env(project),
        **signing,
        **mutual,
        # Twice what it takes for its heap, half of which it never touches: near the limit it would
        # collect garbage without end.
        "GOMEMLIMIT": "512MiB",
        "HOME": str(project.state),
    }


def _healthy(project: Project, _: float) -> bool:
    """Whether the server answers, accepts our keys, has our bucket and can read what is in it."""
    if not listens(project.port("OBJECT_STORE_PORT")):
        return False  # boto3 costs a quarter of a second, this nothing
    from botocore.exceptions import BotoCoreError, ClientError

    from gaiaflow import objects

    client = objects.connect(project)
    try:
        # Names are known before contents are: after a start these come from another server.
        bucket = project.env["S3_BUCKET"]
        for item in client.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents", []):
            client.get_object(Bucket=bucket, Key=item["Key"])["Body"].close()
    except (BotoCoreError, ClientError):
        return False
    return True


def _login(project: Project) -> str:
    stands_in = (
        "" if project.object_store == "seaweedfs" else f", SeaweedFS for {project.object_store}"
    )
    return f"the AWS_ keys in .env{stands_in}"


SERVICES = (
    Service(
        "object-store",
        _command,
        _env,
        healthy=_healthy,
        ports=_ports,
        sockets=_sockets,
        login=_login,
    ),
    Service("bucket", once=True),  # as a process, the store makes it itself
)
