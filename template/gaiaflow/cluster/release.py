"""Check what is to run: the stage's branch, and the files on it."""

from __future__ import annotations

from pathlib import Path

from gaiaflow.cluster.subject import Subject
from gaiaflow.doctor.finding import OK, PROBLEM, WARNING, Finding
from gaiaflow.project.released import IMAGE_FILE

_SHOWN = 3  # files in a finding
# What our own files have instead of a team's names.
_PLACEHOLDERS = ("example.com", "sha256:" + 64 * "0")


def branch(subject: Subject) -> Finding:
    """Check that the remote has the stage's branch, made by `deploy`."""
    stage, found = subject.stage, subject.deployment
    if subject.git_trouble:
        fix = "git ls-remote origin    # shows why"
        first = subject.git_trouble.splitlines()[0]
        return Finding("branch", PROBLEM, f"can't tell what is on {stage.branch}: {first}", fix)
    deploy = "python3 mlops_manager.py deploy prod"
    if stage.name == "staging":
        deploy = "python3 mlops_manager.py deploy staging TAG --image NAME@sha256:..."
    if found is None:
        return Finding("branch", PROBLEM, f"origin has no branch {stage.branch}", deploy)
    commit = found.commit[:12]
    if not found.image:
        what = f"{stage.branch} is at {commit}, which names no image: {IMAGE_FILE} is missing"
        return Finding("branch", PROBLEM, what, f"# Only `deploy` should move it.\n{deploy}")
    return Finding("branch", OK, f"{stage.branch} has {found.tag} ({commit}), {found.image}")


def placeholders(subject: Subject) -> Finding | None:
    """Check that nothing in the stage's files stands for something of the team's."""
    deploy = subject.stage.folder / "deploy"
    ours = [
        *(
            deploy / "airflow" / name
            for name in ("values.yaml", f"values-{subject.stage.name}.yaml")
        ),
        *sorted((deploy / f"project-{subject.stage.name}").glob("*")),
        deploy / "mlflow" / "kustomization.yaml",
    ]
    unfilled = [str(path.relative_to(deploy.parent)) for path in ours if _is_unfilled(path)]
    if not unfilled:
        return Finding("placeholders", OK, "deploy/ is filled in")
    what = f"not filled in: {', '.join(unfilled[:_SHOWN])}"
    fix = "grep -rn -e example.com -e sha256:0000 deploy    # commit, then release again"
    return Finding("placeholders", WARNING, what, fix)


def _is_unfilled(path: Path) -> bool:
    if not path.is_file():
        return False
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    code = [line for line in lines if not line.lstrip().startswith("#")]
    return any(sign in line for line in code for sign in _PLACEHOLDERS)
