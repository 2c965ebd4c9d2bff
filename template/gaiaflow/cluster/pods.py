"""Check what a task finds in a pod: one like that of a task is started, asked and removed."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gaiaflow.backends.base import no_interrupts
from gaiaflow.cluster import inside, manifest
from gaiaflow.cluster.api import Api, Json, Refused, UnreachableError
from gaiaflow.cluster.starting import BASE, Stuck, doing, examine, look, refused, state
from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, WARNING, Finding

_POLL = 1.0  # seconds
_ENDED = 120.0  # seconds for the probe
_SPOKEN = 10.0  # seconds between two lines about a pod that waits
_GRACE = 3  # seconds for the pod to end
_OURS = "app.kubernetes.io/managed-by=gaiaflow,app.kubernetes.io/component=doctor"


@dataclass(frozen=True)
class Report:
    """What the probe has said, and when; by this machine's clock."""

    said: Json
    at: float
    seconds: float


def pod(subject: Subject) -> list[Finding]:
    """Check that a task's pod starts, and what it finds."""
    stage, deployed = subject.stage, subject.deployment
    if not (api := subject.inside(stage.tasks)) or not deployed or not deployed.image:
        return []
    if not manifest.is_known(stage.folder):
        what = f"can't tell: the framework of {deployed.tag} has no probe for pods"
        fix = "python3 mlops_manager.py update    # then release and deploy again"
        return [Finding("pod", WARNING, what, fix)]
    if subject.manifest is None:
        return []
    try:
        with _running(api, subject) as path:
            report = _report(api, path, subject)
    except Stuck as error:
        return [Finding("pod", error.level, str(error), error.fix)]
    what = f"started like a task's in {stage.tasks}, and ended after {report.seconds:.0f} s"
    findings = [Finding("pod", OK, what)]
    return [*findings, *inside.findings(subject, report.said, report.at)]


@contextlib.contextmanager
def _running(api: Api, subject: Subject) -> Iterator[str]:
    """The path of the pod, which is removed afterwards, whatever happens."""
    wanted: Json = subject.manifest or {}
    namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
    path = f"/api/v1/namespaces/{namespace}/pods"
    _sweep(api, path)
    exists = True  # from the request on: an interruption may come before the answer
    try:
        try:
            api.create(path, wanted)
        except Refused as error:
            exists = False
            raise refused(error, wanted) from None
        yield f"{path}/{name}"
    finally:
        with no_interrupts():
            try:
                if exists:
                    api.delete(f"{path}/{name}", _GRACE)
            except (Refused, UnreachableError):  # Kubernetes ends it at its deadline
                subject.say(f"Not removed: kubectl delete pod {name} --namespace {namespace}")


def _sweep(api: Api, path: str) -> None:
    """Remove the pods of doctors that were killed, once they have ended."""
    with contextlib.suppress(Refused):
        for found in api.items(path, labelSelector=_OURS):
            if found["status"].get("phase") in {"Succeeded", "Failed"}:
                api.delete(f"{path}/{found['metadata']['name']}", _GRACE)


def _report(api: Api, path: str, subject: Subject) -> Report:
    """Wait for the end of the probe; what it has said.

    Raises:
        Stuck: it says nothing.
    """
    began = spoken = time.monotonic()
    started: float | None = None
    while True:
        found = api.get(path)
        reached = state(found)
        now = time.monotonic()
        if ended := reached.get("terminated"):
            return Report(_read(api, path, ended, subject), time.time(), now - began)
        if why := found.get("status", {}).get("reason"):
            raise Stuck(f"Kubernetes ended the pod: {why}", look(path))
        if "running" in reached:
            started = started or now
            if now - started > _ENDED:
                raise Stuck(f"the pod says nothing after {_ENDED:.0f} s", look(path))
        else:
            examine(api, path, found, now - began)
        if now - spoken > (_SPOKEN if spoken > began else 2 * _POLL):
            spoken = now
            subject.say(f"waiting: the pod {doing(found)}")
        time.sleep(_POLL)


def _read(api: Api, path: str, ended: Json, subject: Subject) -> Json:
    log = ""
    with contextlib.suppress(Refused):  # it has none if it could not start
        log = api.text(f"{path}/log", container=BASE)
    if ended.get("reason") == "OOMKilled":
        fix = "# Ask for more memory in the profile `default` in pyproject.toml, and release."
        raise Stuck("the pod needed more memory than its limit (OOMKilled)", fix)
    with contextlib.suppress(ValueError, IndexError):
        said = json.loads(log.splitlines()[-1])
        if isinstance(said, dict):
            return said
    last = (log.strip() or str(ended.get("message") or ended.get("reason"))).splitlines()[-1]
    image = subject.deployment.image if subject.deployment else ""
    fix = f"docker run --rm {image} python -m gaiaflow.entrypoints.probe    # in your shell"
    raise Stuck(f"the pod ended with exit code {ended.get('exitCode')}: {last}", fix)
