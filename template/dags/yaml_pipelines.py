"""Makes a DAG of each pipeline in the YAML files of this folder. Nothing is to be changed here.

Airflow reads Python files only; this is the one through which it finds the others.
"""

from pathlib import Path

from gaiaflow import load_yaml_pipelines

globals().update(load_yaml_pipelines(Path(__file__).parent))  # airflow: DAG
