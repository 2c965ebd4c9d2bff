"""`release`, `publish` and `deploy` of `mlops_manager.py`: from a commit to production."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, FAILED, WrongUse
from gaiaflow.doctor.finding import PROBLEM
from gaiaflow.doctor.report import show
from gaiaflow.project.project import find_root
from gaiaflow.release import checks, tags
from gaiaflow.release.branches import Branches, Deployment, Move
from gaiaflow.release.git import Git

_COMMAND = "python3 mlops_manager.py"
_WORKFLOWS = (".github/workflows/release.yml", ".gitlab-ci.yml")
_MINIKUBE = "To serve predictions in Minikube: python3 minikube_manager.py deploy"


class Release(cli.Application):
    """Check this commit, tag it as VERSION (default: the one in pyproject.toml), push the tag"""

    dry_run = cli.Flag("--dry-run", help="only check")
    as_json = cli.Flag(
        "--json", help="print {version, tag, commit, released, checks} instead; checks: as doctor"
    )

    def main(self, version: str = "") -> int:
        candidate = checks.examine(common.project(), version)
        findings = checks.run(candidate)
        found = list(findings) if self.as_json else show(findings)
        failed = any(finding.level == PROBLEM for finding in found)
        released = not failed and not self.dry_run
        if released:
            tags.create(candidate.git, candidate.tag, candidate.commit, candidate.message)
        if self.as_json:
            console.print_json(
                {
                    "version": candidate.version,
                    "tag": candidate.tag,
                    "commit": candidate.commit,
                    "released": released,
                    "checks": [asdict(finding) for finding in found],
                }
            )
        elif released:
            console.out.print(f"Released {candidate.tag}.", markup=False)
            _say_what_follows(find_root(), candidate.tag)
        elif not failed:
            console.err.print("Nothing was tagged (--dry-run).")
        return FAILED if failed else DONE


class Publish(cli.Application):
    """Build the images of TAG (default: the last release), push them, print names and digests"""

    as_json = cli.Flag("--json", help="print {tag, commit, image, airflow_image} instead")

    def main(self, tag: str = "") -> int:
        project = common.project()
        # On demand: Docker's client takes a quarter of a second to import.
        from gaiaflow.release.publishing import publish

        git = Git(project.root)
        with console.Progress() as progress:
            done = publish(project, git, tag or tags.last(git), progress.notify)
        if self.as_json:
            console.print_json(asdict(done))
            return DONE
        console.out.print(done.image, done.airflow_image, sep="\n", markup=False)
        deploy = f"{_COMMAND} deploy staging {done.tag} --image {done.image}"
        console.err.print(f"Next: {deploy}", markup=False, soft_wrap=True)
        return DONE


class Deploy(cli.Application):
    """Move the branch deploy/staging or deploy/prod, from which Airflow gets its DAGs

    `deploy staging TAG --image NAME@sha256:...` deploys a release with the image of `publish`.
    `deploy prod` deploys what is in staging; `deploy prod TAG`, what was there: also to roll back.
    """

    image = cli.SwitchAttr(
        "--image", str, argname="NAME", help="staging: the release's image, with its digest"
    )
    as_json = cli.Flag(
        "--json",
        help="print {branch, before, after} instead, each {commit, tag, tag_commit, image}",
    )

    def main(self, environment: str, commit: str = "") -> int:
        if environment not in {"staging", "prod"}:
            raise WrongUse(f"Deploy to staging or prod, not {environment!r}.\n{_MINIKUBE}")
        if environment == "staging" and not (commit and self.image):
            usage = f"{_COMMAND} deploy staging TAG --image NAME@sha256:..."
            raise WrongUse(f"Name the release and its image, which `publish` prints:\n{usage}")
        if environment == "prod" and self.image:
            raise WrongUse("`deploy prod` takes no --image: a release keeps the one of staging.")
        branches = Branches(Git(find_root()))
        if environment == "staging":
            move = branches.stage(commit, str(self.image))
        else:
            move = branches.move_prod(commit or None)
        if self.as_json:
            console.print_json(asdict(move))
        else:
            _show(move)
        return DONE


def _say_what_follows(root: Path, tag: str) -> None:
    """Tell what publishes a tag: a workflow that has this step, or a person."""
    for name in _WORKFLOWS:
        file = root / name
        if file.is_file() and "mlops_manager.py publish" in file.read_text(encoding="utf-8"):
            console.err.print(f"{name} publishes it and deploys it to staging.", markup=False)
            return
    console.err.print(f"Next: {_COMMAND} publish {tag}", markup=False)


def _show(move: Move) -> None:
    if move.before and move.before.commit == move.after.commit:
        console.err.print(f"{move.branch} has {_name(move.after)} already.", markup=False)
        return
    console.out.print(f"{move.branch} has {_name(move.after)}", markup=False)
    console.out.print(f"    {move.after.image}", markup=False, soft_wrap=True)
    if move.before:
        console.out.print(f"instead of {_name(move.before)}", markup=False)
        console.out.print(f"    {move.before.image or 'no image'}", markup=False, soft_wrap=True)
    stage = move.branch.removeprefix("deploy/")
    if stage == "prod" and move.before:
        back = f"{_COMMAND} deploy prod {move.before.commit[:12]}"
        console.err.print(f"To go back: {back}", markup=False)
    if (find_root() / "deploy" / "airflow").is_dir():
        console.err.print(f"See whether it runs: {_COMMAND} doctor {stage}", markup=False)


def _name(deployment: Deployment) -> str:
    return f"{deployment.tag or 'a commit'} ({deployment.commit[:12]})"
