"""The tags of the newest run in MLflow that has a name. Prints JSON.

Usage: tags.py ROOT NAME
"""

import json
import sys

import mlflow

import gaiaflow

gaiaflow.connect()
[run] = mlflow.search_runs(
    filter_string=f"attributes.run_name = '{sys.argv[2]}'",
    order_by=["start_time DESC"],
    max_results=1,
    output_format="list",
)
print(json.dumps(run.data.tags))
