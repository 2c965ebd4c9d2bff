"""Tests of template/gaiaflow in place, without services, in Airflow's locked environment."""
