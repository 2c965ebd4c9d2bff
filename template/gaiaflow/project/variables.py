"""Environment variables through which parts of the framework communicate.

docs/reference/environment-variables.md describes those that users may set.
Standard library only.
"""

from __future__ import annotations

# In .env, for all parts.
MODE = "GAIAFLOW_MODE"
BACKEND = "GAIAFLOW_BACKEND"
KEEP_FAILED = "GAIAFLOW_KEEP_FAILED"
NOTIFY_URLS = "NOTIFY_URLS"  # only for Airflow: they contain passwords

# In .env, in front of the names of MLflow's own variables: the servers of staging and production.
STAGES = ("staging", "prod")
STAGE_PREFIXES = ("STAGING_MLFLOW_", "PROD_MLFLOW_")

# From a backend or a deployment to Airflow's operators.
NAME = "GAIAFLOW_NAME"  # labels all containers and pods of the project
PYTHON = "GAIAFLOW_PYTHON"  # the project's interpreter
IMAGE = "GAIAFLOW_IMAGE"  # the project's own image
NETWORK = "GAIAFLOW_NETWORK"  # of the compose stack; unset if services are processes
NAMESPACE = "GAIAFLOW_NAMESPACE"  # for pods
SECRETS = "GAIAFLOW_SECRETS"  # the user's own variables in .env, as JSON
TASK_PROXIES = "GAIAFLOW_TASK_PROXIES"  # proxies that tasks can use but services can't, as JSON

# From an operator to the runner.
TASK = "GAIAFLOW_TASK"
ARGUMENTS = "GAIAFLOW_ARGUMENTS"  # JSON
RESULT = "GAIAFLOW_RESULT"  # the file for it
DEBUG = "GAIAFLOW_DEBUG"  # set where a person waits for a debugger
EDITED = "GAIAFLOW_EDITED"  # set where people edit the code between tasks
COMMIT = "GAIAFLOW_COMMIT"  # of the code, also in an image
DIRTY = "GAIAFLOW_DIRTY"  # whether the code differs from it: true, false or empty

# In containers where `connect()` has nothing to do.
CONNECTED = "GAIAFLOW_CONNECTED"

# Marks of the processes that a project has started.
PROJECT = "GAIAFLOW_PROJECT"
SERVICE = "GAIAFLOW_SERVICE"

# From a manager to the programs that it starts.
LEFT_OUT = "GAIAFLOW_LEFT_OUT"  # names of the shell's variables that did not pass
UPDATE = "GAIAFLOW_UPDATE"  # Copier was called by `mlops_manager.py update`
