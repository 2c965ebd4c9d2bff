"""Create a DAG from each pipeline in the YAML files of this folder. Don't change this file.

Airflow reads only Python files, and finds the YAML files through this one.
"""

from pathlib import Path

from gaiaflow import load_yaml_pipelines

globals().update(load_yaml_pipelines(Path(__file__).parent))  # airflow: DAG
