"""Examine a team's cluster: what is wrong between it and a release, and how to fix it.

A check is a function that examines one thing of a `Subject` and returns a Finding, several, or None
if another check reports the cause. To add a check, write a function and list it in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gaiaflow.cluster import (
    accounts,
    airflow,
    images,
    namespaces,
    pods,
    reach,
    release,
    room,
    secrets,
    servers,
    settings,
)
from gaiaflow.cluster.api import Refused, UnreachableError
from gaiaflow.cluster.subject import Subject
from gaiaflow.cluster.waiting import waiting
from gaiaflow.doctor.finding import WARNING, Finding

Check = Callable[[Subject], Finding | Iterable[Finding] | None]

# In the order in which to fix problems; the one that takes longest comes last.
CHECKS: tuple[Check, ...] = (
    release.branch,
    release.placeholders,
    reach.context,
    reach.api_server,
    reach.clock,
    namespaces.namespaces,
    namespaces.my_rights,
    accounts.launcher,
    accounts.service_account,
    secrets.secrets,
    secrets.pull_secrets,
    namespaces.pod_security,
    servers.servers,
    room.profile,
    room.quota,
    room.limit_range,
    airflow.airflow,
    settings.airflow_settings,
    images.airflow_image,
    images.bundle,
    pods.pod,
)


def diagnose(subject: Subject) -> Iterator[Finding]:
    """Run all checks one after the other, and yield their findings."""
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        with waiting(subject.say, name):
            found = _guarded(name, check, subject)
        yield from found


def _guarded(name: str, check: Check, subject: Subject) -> list[Finding]:
    """Run a check; if it can't be made or crashes, report that instead of stopping the others."""
    try:
        found = check(subject)
    except Refused as error:
        fix = f"# The cluster was asked to {error.action}"
        if error.status == 403:
            fix = f"# Ask somebody who may, or for this right: kubectl auth can-i {error.action}"
        return [Finding(name, WARNING, f"can't tell: {error}", fix)]
    except UnreachableError as error:
        return [Finding(name, WARNING, f"can't tell: {error}", "# Try again.")]
    except Exception as error:
        report = "# Please report this: https://github.com/bcdev/gaiaflow/issues"
        return [Finding(name, WARNING, f"not checked: {type(error).__name__}: {error}", report)]
    if found is None:
        return []
    return [found] if isinstance(found, Finding) else list(found)
