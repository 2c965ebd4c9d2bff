"""From a commit to the branches that Airflow tracks in production."""
