"""The secrets that a stage needs, with values from the project's `.env`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gaiaflow.cluster.secrets import expected
from gaiaflow.cluster.stage import Stage
from gaiaflow.project.clients import CREDENTIALS
from gaiaflow.project.project import Project
from gaiaflow.rehearsal.programs import Json
from gaiaflow.rehearsal.servers import POSTGRES, REPOSITORY, STORE

_UNKNOWN = "rehearsal"  # the value of a secret of the team's own
_PGBOUNCER = f"""\
[databases]
airflow = host={POSTGRES} dbname=airflow pool_size=20

[pgbouncer]
listen_addr = *
listen_port = 6543
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/users.txt
stats_users = airflow
pool_mode = transaction
max_client_conn = 500
max_prepared_statements = 200
ignore_startup_parameters = extra_float_digits
"""


def objects(project: Project, stage: Stage) -> Iterator[Json]:
    """All secrets that the stage's files name."""
    known = _values(project)
    for (namespace, name), keys in expected(stage).items():
        values = {key: known.get(key, _UNKNOWN) for key in keys}
        metadata = {"name": name, "namespace": namespace}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def _values(project: Project) -> dict[str, str]:
    """What the keys hold, as docs/how-to/airflow-on-a-cluster.md describes them."""
    env = project.env
    password = env["AIRFLOW_DATABASE_PASSWORD"]
    through, inside = "airflow-pgbouncer:6543/airflow", "127.0.0.1:6543/pgbouncer"
    logs = {
        "conn_type": "aws",
        "login": env["AWS_ACCESS_KEY_ID"],
        "password": env["AWS_SECRET_ACCESS_KEY"],
        "extra": {"endpoint_url": STORE},
    }
    mlflow = f"postgresql+psycopg2://mlflow:{env['MLFLOW_DATABASE_PASSWORD']}@{POSTGRES}/mlflow"
    return {
        "connection": f"postgresql+psycopg2://airflow:{password}@{through}",
        "stats": f"postgresql://airflow:{password}@{inside}?sslmode=disable",
        "users.txt": f'"airflow" "{password}"\n',
        "pgbouncer.ini": _PGBOUNCER,
        "fernet-key": env["AIRFLOW_FERNET_KEY"],
        "api-secret-key": env["AIRFLOW_SECRET_KEY"],
        "jwt-secret": env["AIRFLOW_JWT_SECRET"],
        "AIRFLOW_CONN_GIT_PROJECT": json.dumps({"conn_type": "git", "host": REPOSITORY}),
        "AIRFLOW_CONN_LOGS": json.dumps(logs),
        "MLFLOW_BACKEND_STORE_URI": mlflow,
        "SERVING_KEY": env["SERVING_KEY"],
        **{name: env[name] for name in CREDENTIALS},
    }
