"""The release workflows of both sites move the branches from clones as CI makes them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from gaiaflow.release.branches import PROD, STAGING

from tests.workflows import Workflow

from .commands import RUN
from .releases import Ready

FIRST = f"ghcr.io/eo/forest@sha256:{'a' * 64}"
SECOND = f"ghcr.io/eo/forest@sha256:{'b' * 64}"
URL = "https://gitlab-ci-token:secret@git.example/eo/forest.git"


@pytest.mark.parametrize("site", ["github", "gitlab"])
def test_a_tag_reaches_production_and_goes_back(tmp_path: Path, site: str) -> None:
    ready = Ready(tmp_path)
    ready.write("mlops_manager.py", RUN)
    ready.commit()

    def run(job: str, tag: str, image: str) -> str:
        """Run a job in a new, shallow clone; the commit of its branch."""
        checkout, remote = tempfile.mkdtemp(dir=tmp_path), ready.remote.as_uri()
        branch = "main" if (site, job) == ("github", "prod") else tag
        ready.git("clone", "--quiet", "--depth=1", f"--branch={branch}", remote, checkout)
        ready.git("-C", checkout, "config", f"url.{remote}.insteadOf", URL)
        machine = {**os.environ, "PYTHONPATH": checkout}
        known = {
            "github": {
                "secrets.GAIAFLOW_TOKEN || github.token": "secret",
                "needs.publish.outputs.image": image,
                "inputs.release": tag,
            },
            "gitlab": {"CI_JOB_TOKEN": "secret", "CI_PROJECT_PATH": "eo/forest", "image": image},
        }
        Workflow(site, tag, tmp_path / "bin").run(job, Path(checkout), known[site], machine)
        found = ready.asked.tip({"staging": STAGING, "prod": PROD}[job])
        assert found
        return found

    commits = []
    for tag, image in (("v1.2.0", FIRST), ("v1.3.0", SECOND)):
        ready.commit()
        ready.git("tag", tag)
        ready.git("push", "-q", "origin", tag)
        commits.append(run("staging", tag, image))
        assert ready.git("show", f"{commits[-1]}:deploy/release/image") == image
        assert run("prod", tag, image) == commits[-1]
    assert commits[0] != commits[1]
    assert run("prod", "v1.2.0", FIRST) == commits[0]  # a rollback
    assert ready.asked.tip(STAGING) == commits[1]
