"""What Airflow loads to hear of failed runs and updated assets."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from gaiaflow.notifying import listener


class NotifyingPlugin(AirflowPlugin):
    """Registers the listener."""

    name = "gaiaflow-notifying"
    listeners = [listener]  # noqa: RUF012
