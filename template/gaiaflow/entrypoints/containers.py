"""Setup steps and health checks of containers: `python -m gaiaflow.entrypoints.containers STEP`.

docker-compose.yml sets their environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gaiaflow.project.paths import LOCKS

_HEARTBEAT_LIMIT = 60  # seconds; busy components are late
_STORE_LIMIT = 120.0  # seconds within which the object store must answer


def bucket() -> None:
    """Create the project's bucket if it does not exist, on any S3 server."""
    import boto3
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    name = os.environ["S3_BUCKET"]
    deadline = time.monotonic() + _STORE_LIMIT
    while True:
        try:
            boto3.client("s3").create_bucket(Bucket=name)
            return
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                return
            # 404: SeaweedFS, a moment before it is ready.
            if not str(code).startswith(("404", "5", "Internal", "ServiceUnavailable", "SlowDown")):
                raise
            problem: Exception = error
        except (ConnectionError, HTTPClientError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem
        time.sleep(0.2)


def airflow_init() -> None:
    """Migrate Airflow's database to this image's release, unless it is up to date."""
    with _database() as connection, connection.cursor() as cursor:
        release = hashlib.sha256((LOCKS / "airflow.txt").read_bytes()).hexdigest()
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
            "WHERE datname = current_database()"
        )
        if cursor.fetchone() == (release,):
            return
    subprocess.run(["airflow", "db", "migrate"], check=True)
    with _database() as connection, connection.cursor() as cursor:
        cursor.execute("COMMENT ON DATABASE airflow IS %s", [release])


def airflow_api_server() -> None:
    """Write the password file, then become the API server."""
    passwords = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    passwords.touch(mode=0o600)
    text = json.dumps({os.environ["AIRFLOW_USER"]: os.environ.pop("AIRFLOW_PASSWORD")})
    passwords.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "gaiaflow.entrypoints.quick", "airflow", "api-server"]
    os.execv(sys.executable, [*command, "--host", "0.0.0.0", "--port", "8080", "--workers", "1"])


def heartbeat() -> None:
    """Fail unless this container's component had a recent heartbeat.

    Asking Airflow itself would take 2.5 s of CPU time.
    """
    started = Path("/proc/1").stat().st_mtime
    with _database() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(extract(epoch FROM latest_heartbeat)) FROM job "
            "WHERE hostname = %s AND state = 'running'",
            [os.uname().nodename],
        )
        [beat] = cursor.fetchone()
    if beat is None or beat < max(started, time.time() - _HEARTBEAT_LIMIT):
        sys.exit("no heartbeat")


def _database() -> Any:
    import psycopg2

    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    return psycopg2.connect(address.replace("+psycopg2", ""), connect_timeout=5)


STEPS = {
    "airflow-api-server": airflow_api_server,
    "airflow-init": airflow_init,
    "bucket": bucket,
    "heartbeat": heartbeat,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]]()
