"""From a tag to the branches that Airflow tracks in production."""
