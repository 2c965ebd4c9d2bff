"""One set of DAGs, made once for each mode, as NAME-MODE.

Nothing in them depends on the mode; that their results do not either is what is tested.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, TaskGroup

from gaiaflow import create_task

MODES = ["dev"]  # the test writes another list here
SCENES = 4  # and another number

FUNCTIONS = "forest_watch.utils.cases"
PARAMS = {
    "name": Param("Wälder", type="string"),
    "count": Param(4, type="integer"),
    "ratio": Param(0.5, type="number"),
}


def task(task_id, function, arguments=None, **options):
    return create_task(task_id, f"{FUNCTIONS}:{function}", arguments, **options)


def arguments(dag):
    values = {
        "text": "ä\"'\n{}$HOME",
        "number": 1.5,
        "big": 2**53,
        "none": None,
        "yes": True,
        "list": [1, ["a"]],
        "dict": {"a": {"b": []}},
        "script": "run.sh",
        "rendered": "{{ params.name }}",
    }
    first = task("first", "echo", values)
    second = task(
        "second",
        "echo",
        {
            "whole": first.output,
            "entry": first.output["dict"],
            "none": first.output["none"],
            "deep": [{"in": first.output["text"]}],
            "name": dag.param("name"),
            "count": dag.param("count"),
            "ratio": dag.param("ratio"),
        },
    )
    env = {
        "TEXT": "a",
        "NUMBER": 7,
        "FROM_TASK": first.output["dict"],
        "NAME": "{{ params.name }}",
    }
    names = ["TEXT", "NUMBER", "FROM_TASK", "NAME", "GAIAFLOW_TASK"]
    third = task("third", "environment", {"names": names}, env=env)
    second >> third


def mapping(dag):
    search = task("search", "search", {"count": SCENES})
    predict = task("predict", "predict", {"model": {"scale": 2}}).expand(
        scene=search.output["scenes"]
    )
    task("total", "total", {"values": predict.output["area"]})
    task("collect", "collect", {"results": predict.output})
    numbers = task("numbers", "numbers", {"count": 2})
    squares = task("squares", "square").expand(number=numbers.output)
    again = task("again", "square").expand(number=squares.output)
    literal = task("literal", "square").expand(number=[3, dag.param("count")])
    task("sum", "total", {"values": again.output})
    task("sum_of_literal", "total", {"values": literal.output})


def groups(dag):
    with TaskGroup("prepare"):
        one = task("one", "square", {"number": 2})
        with TaskGroup("inner"):
            two = task("two", "square", {"number": one.output})
            many = task("many", "square").expand(number=[1, 2])
    task("end", "echo", {"two": two.output, "many": many.output})


def without_result(dag):
    none = task("none", "nothing")
    zero = task("zero", "leave", {"code": 0})
    task("after", "echo", {"none": none.output, "zero": zero.output})


def retried(dag):
    options = {"retries": 1, "retry_delay": timedelta(seconds=0)}
    flaky = task("flaky", "flaky", {"attempt": "{{ ti.try_number }}"}, **options)
    task("after", "echo", {"flaky": flaky.output}, resources={"memory": "256Mi"})


def secret(dag):
    task("digest", "digest_of_secret", {"name": "EARTHDATA_TOKEN"}, secrets=["earthdata"])
    task("hidden", "environment", {"names": ["EARTHDATA_TOKEN"]})


def failing(dag):
    again = {"retries": 2, "retry_delay": timedelta(0)}  # which would help none of them
    task("raises", "fails", **again)
    task("no_json", "no_json", **again)
    task("large", "large", **again)
    task("missing", "not_there", **again)
    task("unexpected", "square", {"numbr": 1}, **again)
    task("exits", "leave", {"code": 3})
    if mode != "dev":  # where a task takes what there is
        task("hungry", "take", {"megabytes": 300}, resources={"memory": "64Mi"})


def timeout(dag):
    limit = timedelta(seconds=30)  # a busy machine has to get as far as "sleeping" within it
    task("deaf", "deaf", {"seconds": 600}, timeout=limit, retries=1, retry_delay=timedelta(0))


def reach(dag):
    task("mlflow", "ask", {"variable": "MLFLOW_TRACKING_URI", "path": "/health"})


CASES = (arguments, mapping, groups, without_result, retried, secret, failing, timeout, reach)

for mode in MODES:
    for case in CASES:
        defaults = {"mode": mode, "owner": "tests", "retries": 0}
        dag_id = f"{case.__name__}-{mode}"
        with DAG(dag_id, schedule=None, params=PARAMS, default_args=defaults) as dag:
            case(dag)
        globals()[dag_id] = dag
