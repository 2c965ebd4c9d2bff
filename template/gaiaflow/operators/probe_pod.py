"""The pod with which `doctor` looks at a cluster from inside: in all but its program, a task's.

    python -m gaiaflow.operators.probe_pod    # prints its manifest, in the last line

Runs in Airflow's environment, with the variables that Airflow has in the cluster.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kubernetes.client import ApiClient

from gaiaflow.operators.base import FunctionSpec
from gaiaflow.operators.cluster_pod import ClusterPodOperator
from gaiaflow.operators.resources import requested
from gaiaflow.project.paths import ROOT

if TYPE_CHECKING:
    from airflow.sdk import Context

_PROBE = "gaiaflow.entrypoints.probe"
_LIMIT = timedelta(minutes=10)  # until Kubernetes ends it, if nobody else does
_LABELS = {"app.kubernetes.io/component": "doctor"}


class ProbePodOperator(ClusterPodOperator):
    """A task's pod that runs our probe; it belongs to no run of a DAG."""

    def prepare(self, context: Context) -> None:
        """Set everything as for a task, except for the program."""
        super().prepare(context)
        self.cmds = ["python", "-m", _PROBE]
        self.annotations = {}
        self.labels = {**self.labels, **_LABELS}


def manifest() -> dict[str, Any]:
    """The manifest of the pod, with the resources of a task that asks for none."""
    spec = FunctionSpec(function=f"{_PROBE}:main", resources=requested(None, ROOT))
    operator = ProbePodOperator(
        task_id="gaiaflow-doctor", spec=spec, function_arguments={}, execution_timeout=_LIMIT
    )
    ti = SimpleNamespace(
        dag_id="doctor", run_id="doctor", task_id="doctor", try_number=1, map_index=-1
    )
    context: Any = {"ti": ti}
    operator.prepare(context)
    pod = operator.build_pod_request_obj(dry_run=True)
    return dict(ApiClient().sanitize_for_serialization(pod))


if __name__ == "__main__":
    made = json.dumps(manifest())
    sys.stdout.write(f"{made}\n")  # after what Airflow logs
