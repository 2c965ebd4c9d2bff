"""`minikube_manager.py deploy`: the champion answers from pods of a real cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import HERE, Done, Generate, Project, execute, free_block, wait_for
from .serving import ROWS
from .test_modes import MINIKUBE, airflow_python

pytestmark = pytest.mark.cluster

LIMIT = 120  # seconds until all pods serve a new champion

# In a pod: so the name of the service, its address and its key are what other pods would use.
ASK = f"""
import json, os, urllib.request
key = {{"Authorization": "Bearer " + os.environ["SERVING_KEY"]}}
headers = {{"Content-Type": "application/json", **key}}
body = {json.dumps(json.dumps(ROWS))}.encode()
request = urllib.request.Request("http://serving/invocations", body, headers)
with urllib.request.urlopen(request, timeout=10) as answer:
    told = {{"version": answer.headers["x-model-version"], **json.load(answer)}}
print(json.dumps(told))
"""

# With the kubeconfig: the names of the pods; or, with one of them and code, run that in it.
EXECUTE = """
import sys
from kubernetes import client, config, stream
config.load_kube_config(sys.argv[1], context="host")
core = client.CoreV1Api()
pods = core.list_namespaced_pod("default", label_selector="app.kubernetes.io/name=serving").items
living = [pod.metadata.name for pod in pods if not pod.metadata.deletion_timestamp]
if sys.argv[2] == "names":
    print(*sorted(living))
else:
    run = core.connect_get_namespaced_pod_exec
    command = ["python", "-c", sys.argv[3]]
    # Preloaded, JSON would be parsed, and become Python's text of it.
    options = {"stdout": True, "stderr": True, "_preload_content": False}
    session = stream.stream(run, sys.argv[2], "default", command=command, **options)
    session.run_forever(timeout=60)
    print(session.read_all())
"""


@pytest.fixture(scope="module")
def project(generate: Generate) -> Iterator[Project]:
    """With a champion, a cluster, and its image in the cluster."""
    if not MINIKUBE:
        pytest.skip("GAIAFLOW_TEST_MINIKUBE is not set")
    project, _ = generate("Cluster", package_name="forest_watch", kubernetes="yes")
    project.set_ports(free_block())
    assert project.manage("start").code == 0
    assert project.manage("run", "landcover").code == 0
    for command in ("start", "build"):
        done = minikube(project, command)
        assert done.code == 0, done
    yield project
    minikube(project, "clean")
    assert project.manage("stop").code == 0


def minikube(project: Project, *arguments: str) -> Done:
    return execute(sys.executable, project.root / "minikube_manager.py", *arguments, cwd=HERE)


def in_cluster(project: Project, *arguments: str) -> str:
    config = project.root / "kube_config_inline"
    done = execute(airflow_python(project), "-c", EXECUTE, config, *arguments, cwd=HERE)
    assert done.code == 0, done
    return done.out.strip()


def pods(project: Project) -> list[str]:
    return in_cluster(project, "names").split()


def asked(project: Project, pod: str = "") -> dict[str, Any]:
    """What the service answers to a pod."""
    told = in_cluster(project, pod or pods(project)[0], ASK)
    assert told.startswith("{"), told
    answer: dict[str, Any] = json.loads(told)
    return answer


def test_pods_serve_the_champion(project: Project) -> None:
    done = minikube(project, "deploy")
    assert done.code == 0, done
    assert done.out == "In the cluster: http://serving\n"
    assert wait_for(lambda: len(pods(project)) == 2)  # the autoscaler's least
    assert asked(project) == {"version": "1", "predictions": ["Water", "Vegetation"]}


def test_they_take_over_a_new_champion(project: Project) -> None:
    before = pods(project)
    assert project.manage("run", "landcover").code == 0
    assert project.manage("promote", "landcover", "2").code == 0
    # Eight in a row, from either pod: each changes by itself.
    wait_for(lambda: {asked(project)["version"] for _ in range(8)} == {"2"}, LIMIT)
    assert pods(project) == before


def test_a_second_time_replaces_them_one_by_one(project: Project) -> None:
    before = pods(project)
    done = minikube(project, "deploy")
    assert done.code == 0, done
    assert not set(before) & set(pods(project))
    assert asked(project)["version"] == "2"


def test_an_image_that_is_not_there_leaves_the_old_pods(project: Project) -> None:
    before = pods(project)
    version = project.root / "pyproject.toml"
    text = version.read_text(encoding="utf-8")
    version.write_text(text.replace('version = "', 'version = "9'), encoding="utf-8")
    done = minikube(project, "deploy")
    version.write_text(text, encoding="utf-8")
    assert done.code == 1
    assert "Load the image: python3 minikube_manager.py build" in done.err
    assert set(before) <= set(pods(project))
    assert asked(project, before[0])["version"] == "2"


def test_they_are_removed(project: Project) -> None:
    done = minikube(project, "deploy", "--remove")
    assert done.code == 0, done
    wait_for(lambda: pods(project) == [])
    assert minikube(project, "deploy", "--remove").code == 0  # nothing to remove
