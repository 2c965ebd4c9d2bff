"""Postgres, the database of Airflow and MLflow in containers; processes use SQLite."""

from __future__ import annotations

from gaiaflow.services.base import Service

SERVICES = (Service("postgres"),)
