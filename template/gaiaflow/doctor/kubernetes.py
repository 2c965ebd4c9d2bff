"""Check Minikube and kubectl, if the project uses Kubernetes."""

from __future__ import annotations

import json
import os

from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.doctor.subject import Subject
from gaiaflow.doctor.system import MACOS


def minikube(subject: Subject) -> Finding | None:
    """Check Minikube, which runs a cluster on this machine."""
    if not subject.identity.get("kubernetes"):
        return None
    answer = subject.programs.ask("minikube", "version", "--short")
    if answer.code:
        fix = "# https://minikube.sigs.k8s.io/docs/start"
        if subject.system.kind == MACOS:
            fix = "brew install minikube"
        found = f"the project uses Kubernetes, but {answer.complaint}"
        return Finding("minikube", PROBLEM, found, fix)
    if (os.cpu_count() or 2) < 2:
        fix = "# Give this machine a second processor, or use a different machine."
        return Finding("minikube", WARNING, "needs two processors, this machine has one", fix)
    return Finding("minikube", OK, answer.out.strip())


def kubectl(subject: Subject) -> Finding | None:
    """Check kubectl, which talks to a cluster."""
    if not subject.identity.get("kubernetes"):
        return None
    answer = subject.programs.ask("kubectl", "version", "--client", "--output=json")
    try:
        return Finding("kubectl", OK, json.loads(answer.out)["clientVersion"]["gitVersion"])
    except (ValueError, KeyError, TypeError):
        pass
    fix = "# https://kubernetes.io/docs/tasks/tools\nminikube kubectl -- version    # instead"
    if subject.system.kind == MACOS:
        fix = "brew install kubectl"
    found = f"the project uses Kubernetes, but {answer.complaint}"
    return Finding("kubectl", PROBLEM, found, fix)
