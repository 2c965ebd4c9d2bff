"""A rehearsal of production in the project's own Minikube.

It brings up what `deploy/` describes for staging, at the present commit: Airflow by the official
chart, MLflow, predictions, and the namespace of tasks. In place of the team's servers there are
Postgres, an object store and a git server in the cluster; in place of its secrets, those in `.env`.
Then it runs a pipeline as it would run there.
"""
