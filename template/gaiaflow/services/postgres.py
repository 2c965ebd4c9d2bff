"""Postgres, which keeps what Airflow and MLflow know. Containers only: processes use SQLite."""

from __future__ import annotations

from gaiaflow.services.base import Service

SERVICES = (Service("postgres"),)
