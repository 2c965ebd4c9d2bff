"""Print the state, the epochs and the system metrics of each MLflow run of `segmentation`.

Usage: segmentation_runs.py ROOT
"""

import json

from mlflow import MlflowClient

import gaiaflow

gaiaflow.connect()
client = MlflowClient()
runs = client.search_runs(["0"], "tags.pipeline = 'segmentation'")
print(
    json.dumps(
        [
            {
                "status": run.info.status,
                "epochs": [
                    entry.step for entry in client.get_metric_history(run.info.run_id, "loss")
                ],
                "system": [name for name in run.data.metrics if name.startswith("system/")],
            }
            for run in runs
        ]
    )
)
