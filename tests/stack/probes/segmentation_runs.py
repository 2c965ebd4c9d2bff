"""Print the state, the epochs and the system metrics of each MLflow run of `segmentation`.

Usage: segmentation_runs.py ROOT
"""

import json

import mlflow

import gaiaflow

gaiaflow.connect()
client = mlflow.MlflowClient()
runs = mlflow.search_runs(filter_string="tags.pipeline = 'segmentation'", output_format="list")
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
