"""What MLflow knows of the land-cover pipeline. Prints JSON.

Usage: tracking.py ROOT
"""

import json
import os

import mlflow

import gaiaflow

gaiaflow.connect()
client = mlflow.MlflowClient()

runs = []
for run in mlflow.search_runs(
    filter_string="tags.pipeline = 'landcover'", output_format="list", order_by=["start_time DESC"]
):
    artifacts = {item.path: item.file_size for item in client.list_artifacts(run.info.run_id)}
    runs.append(
        {
            "run_id": run.info.run_id,
            "params": run.data.params,
            "metrics": run.data.metrics,
            "artifacts": artifacts,
            "tags": run.data.tags,
        }
    )
versions = [
    {"version": int(found.version), "run_id": found.run_id}
    for found in client.search_model_versions("name = 'landcover'")
]
champion = client.get_model_version_by_alias("landcover", "champion")
info = mlflow.models.get_model_info("models:/landcover@champion")
experiment = client.get_experiment_by_name(os.environ["MLFLOW_EXPERIMENT_NAME"])
signature = info.signature.to_dict()
example = mlflow.pyfunc.load_model("models:/landcover@champion").input_example
print(
    json.dumps(
        {
            "runs": runs,
            "versions": versions,
            "champion": int(champion.version),
            "kind": experiment.tags.get("mlflow.experimentKind"),
            "inputs": [column["name"] for column in json.loads(signature["inputs"])],
            "outputs": json.loads(signature["outputs"]),
            "example": list(example.columns) if example is not None else None,
        }
    )
)
