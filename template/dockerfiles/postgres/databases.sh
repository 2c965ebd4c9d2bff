#!/bin/sh
# Create a database and a role for Airflow and for MLflow; runs once, when the volume is new.
set -eu
make() { # name, password
    psql --variable=ON_ERROR_STOP=1 --variable=name="$1" --variable=password="$2" \
        --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}
make airflow "$AIRFLOW_DATABASE_PASSWORD"
make mlflow "$MLFLOW_DATABASE_PASSWORD"
