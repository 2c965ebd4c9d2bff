"""Check that the cluster can be reached, and that its clock agrees."""

from __future__ import annotations

import os

from gaiaflow.cluster.api import Refused, UnreachableError
from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project import inherited

CLOCK_LIMIT = 30.0  # seconds by which clocks may differ


def context(subject: Subject) -> Finding:
    """Check that kubectl has a current context, and say which cluster it names."""
    if subject.api:
        return Finding("context", OK, f"{subject.api.context}, {subject.api.server}")
    fix = (
        "kubectl config get-contexts    # and: kubectl config use-context NAME\n"
        "# Or get access from whoever runs the cluster; KUBECONFIG names the file."
    )
    return Finding("context", PROBLEM, subject.api_trouble.splitlines()[0], fix)


def api_server(subject: Subject) -> Finding | None:
    """Check that the API server answers, and knows who asks."""
    if not (api := subject.api):
        return None
    found = subject.version
    if isinstance(found, UnreachableError):
        fix = "kubectl version    # needs the VPN, or another context?"
        what = f"{api.server} does not answer: {found}"
        return Finding("api-server", PROBLEM, what, fix)
    if isinstance(found, Refused) or found is None:
        why = api.complaint.splitlines()[0] if api.complaint else str(found)
        fix = "kubectl auth whoami    # log in again"
        hidden = [n for n in inherited.noticed(os.environ) if n.startswith("AWS_")]
        if hidden:
            fix += f"\n# {', '.join(hidden)} of your shell is not passed on: name a profile in the"
            fix += " kubeconfig.\naws eks update-kubeconfig --profile PROFILE --name CLUSTER"
        return Finding("api-server", PROBLEM, f"does not accept your log-in: {why}", fix)
    return Finding("api-server", OK, f"Kubernetes {found.get('gitVersion', '?')}")


def clock(subject: Subject) -> Finding | None:
    """Check that the cluster's clock agrees with this machine's."""
    if not (api := subject.answers):
        return None
    ahead = api.clock()
    if abs(ahead) > CLOCK_LIMIT:
        fix = "# Set the clock that is wrong. This one: timedatectl status"
        return Finding(
            "clock", WARNING, f"the cluster's is {difference(ahead)} this machine's", fix
        )
    return Finding("clock", OK, "agrees with the cluster's")


def difference(ahead: float) -> str:
    """How a clock differs: "40 s ahead of"."""
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
