"""What runs inside Airflow: functions as tasks, in every mode."""
