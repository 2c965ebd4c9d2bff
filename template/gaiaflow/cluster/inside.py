"""What the probe has found in its pod, as findings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gaiaflow.cluster.reach import CLOCK_LIMIT, difference
from gaiaflow.cluster.subject import Json, Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding

_VERSION = re.compile(r'(?m)^__version__ = "([^"]+)"')


def findings(subject: Subject, said: Json, at: float) -> Iterator[Finding]:
    """Judge a report.

    Args:
        subject: the stage.
        said: what the probe has printed.
        at: when its pod ended, by this machine's clock.
    """
    yield _code(subject, said["code"])
    yield _part(subject, "dns", said["dns"])
    for name in ("mlflow", "store"):
        if name in said:  # otherwise its host is unknown
            yield _part(subject, name, said[name])
    yield _clock(said, at)


def _code(subject: Subject, code: Json) -> Finding:
    """The image and the branch are of the same commit."""
    check, deployed = "pod-code", subject.deployment
    again = "# Publish the tag again, and deploy what `publish` prints."
    if "error" in code:
        return Finding(check, PROBLEM, code["error"], "# Fix it, then release and deploy again.")
    if deployed and code["commit"] and code["commit"] != deployed.tag_commit:
        tagged = f"{deployed.tag} is {deployed.tag_commit[:12]}"
        what = f"the image is of commit {code['commit'][:12]}, but {tagged}"
        return Finding(check, PROBLEM, what, again)
    file = subject.stage.folder / "gaiaflow" / "__init__.py"
    known = _VERSION.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    if known and known[1] != code["framework"]:
        what = f"the image has framework {code['framework']}, the branch {known[1]}"
        return Finding(check, PROBLEM, what, again)
    if code["dirty"] == "true" or not code["commit"]:
        what = "the image was built from files that are in no commit"
        return Finding(check, WARNING, what, again)
    what = f"framework {code['framework']}, commit {code['commit'][:12]}; {code['package']} imports"
    return Finding(check, OK, what)


def _part(subject: Subject, name: str, part: Json) -> Finding:
    stage = subject.stage
    if "error" not in part:
        return Finding(f"pod-{name}", OK, part["found"])
    own = f"deploy/airflow/values-{stage.name}.yaml"
    fixes = {
        "dns": f"# Is the address in {own} right?\nkubectl get services --namespace {stage.tasks}",
        "mlflow": (
            f"kubectl get pods --namespace {stage.tasks} --selector app.kubernetes.io/name=mlflow\n"
            f"# MLFLOW_TRACKING_URI is in {own}, user and password in the secret gaiaflow; does a "
            "network policy keep tasks out?"
        ),
        "store": (
            f"# AWS_ENDPOINT_URL and S3_BUCKET are in {own}, the keys in the secret gaiaflow.\n"
            "# The keys must be allowed to put, get and delete objects of the bucket."
        ),
    }
    return Finding(f"pod-{name}", PROBLEM, part["error"], fixes[name])


def _clock(said: Json, at: float) -> Finding:
    """The node's clock agrees with this machine's and with the store's: signatures expire."""
    fix = "# Set the clock that is wrong; nodes need NTP."
    node, store = said["time"] - at, said.get("store", {}).get("ahead", 0.0)
    if abs(store) > CLOCK_LIMIT:
        return Finding("pod-clock", PROBLEM, f"the store's is {difference(store)} the node's", fix)
    if abs(node) > CLOCK_LIMIT:
        return Finding(
            "pod-clock", WARNING, f"the node's is {difference(node)} this machine's", fix
        )
    others = (
        "this machine's and the store's" if "ahead" in said.get("store", {}) else "this machine's"
    )
    return Finding("pod-clock", OK, f"the node's agrees with {others}")
