"""The newest report of the monitor in MLflow. Prints JSON.

Usage: monitored.py ROOT
"""

import json

import mlflow

import gaiaflow

gaiaflow.connect()
[run] = mlflow.search_runs(
    filter_string="tags.pipeline = 'monitor'",
    order_by=["start_time DESC"],
    max_results=1,
    output_format="list",
)
print(
    json.dumps(
        {
            "tags": run.data.tags,
            "metrics": run.data.metrics,
            "report": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/report.html"),
        }
    )
)
