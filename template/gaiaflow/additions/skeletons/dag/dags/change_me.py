"""
### Change me

A skeleton that runs as it is. Replace its functions one by one: each is in
a module `change_me` of the package, which explains what to change.
For another pipeline: `python3 mlops_manager.py new dag NAME`
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from gaiaflow import create_task

with DAG(
    dag_id="change_me",
    description="A skeleton to start from",
    doc_md=__doc__,
    tags=["skeleton"],
    schedule=None,  # Change: "@daily" or a cron expression. None: run by hand.
    # Change: what users can choose when they trigger the DAG.
    params={"samples": Param(60, type="integer", minimum=10, description="Samples per class")},
    default_args={"owner": "airflow", "retries": 2, "retry_delay": timedelta(seconds=10)},
) as dag:
    # create_task(id, "package.module:function", arguments). To run one task after another, pass an
    # output on. Each task runs in a process of the project's environment.
    load = create_task(
        "load",
        "my_package.dataloader.change_me:load",
        {"samples": dag.param("samples")},
    )
    prepare = create_task(
        "prepare",
        "my_package.preprocess.change_me:prepare",
        {"table": load.output["table"]},
    )
    train = create_task(
        "train",
        "my_package.train.change_me:train",
        {"features": prepare.output["features"]},
    )
    predict = create_task(
        "predict",
        "my_package.predict.change_me:predict",
        {"features": prepare.output["features"], "model": train.output["model"]},
    )
    summarize = create_task(
        "summarize",
        "my_package.postprocess.change_me:summarize",
        {"predictions": predict.output["predictions"]},
    )
