"""Messages to people, from Airflow: failed runs, updates of assets, and questions to them.

It is loaded only if NOTIFY_URLS is set: then `entry_points/` is on Airflow's PYTHONPATH, where it
finds `plugin` and `questions` as it finds those of installed packages.
"""
