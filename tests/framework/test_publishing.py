"""Images are built from a tag and pushed. The engine is a stand-in that speaks its API.

tests/containers/test_publish.py does the same with a real engine and a real registry.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from gaiaflow.project.errors import GaiaflowError
from gaiaflow.release import images
from gaiaflow.release.worktrees import checked_out

from .commands import manage
from .conftest import secrets_of
from .doctor import script
from .releases import Ready

DIGEST = "sha256:" + "1" * 64
PUSHED: list[dict[str, object]] = [
    {"status": "Pushing"},
    {"aux": {"Tag": "v1", "Digest": DIGEST, "Size": 1}},
]


class Engine(ThreadingHTTPServer):
    """As much of Docker's engine as `push` needs, and what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.looked_at: list[str] = []
        self.says = PUSHED
        self.lacks = ""  # an image
        self.address = f"tcp://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Engine)
        self.server.looked_at += re.findall("/images/(.*)/json", self.path)
        if self.server.lacks and self.server.lacks in self.path:
            self._answer({"message": "No such image"}, status=404)
        else:
            self._answer({"ApiVersion": "1.44", "Id": "sha256:2", "RepoTags": []})

    def do_POST(self) -> None:
        assert isinstance(self.server, Engine)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(re.sub(r"^/v[\d.]+", "", self.path))
        self._answer(*(self.server.says if "/push" in self.path else [{}]), status=201)

    def do_DELETE(self) -> None:
        assert isinstance(self.server, Engine)
        self.server.asked.append("remove " + self.path.rpartition("/")[2])
        self._answer({})

    def _answer(self, *lines: dict[str, object], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in [*(json.dumps(line).encode() + b"\r\n" for line in lines), b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    with Engine() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", server.address)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    ready = Ready(tmp_path_factory.mktemp("original"))
    ready.write("docker-compose.yml", "")
    ready.write(
        "pyproject.toml",
        (ready.root / "pyproject.toml").read_text("utf-8")
        + '[tool.gaiaflow.release]\nimage = "localhost:5000/team/forest"\n',
    )
    ready.commit()
    ready.git("tag", "v1.2.0")
    ready.write("later.txt", "not in the tag")
    ready.commit()
    return ready


@pytest.fixture
def ready(original: Ready, tmp_path: Path) -> Ready:
    return original.copied(tmp_path / "copy")


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what `docker compose` was told to build, with which settings."""
    told = tmp_path / "builds"
    folder = tmp_path / "bin"
    config = r'{"services": {"airflow-init": {"image": "'
    script(
        folder / "docker",
        f"""for last; do :; done
if [ "$last" = json ]; then echo '{config}'"$COMPOSE_PROJECT_NAME"'-airflow"}}}}}}'; exit; fi
code="$GAIAFLOW_COMMIT $GAIAFLOW_DIRTY $(cd "$3"; ls later.txt 2>&1)"
echo "${{*##*plain }} $PACKAGE_IMAGE $code" >>{told}""",
    )
    script(folder / "uv", "exit 0")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return told


def worktrees(ready: Ready) -> int:
    return len(ready.git("worktree", "list").splitlines())


def test_both_images_are_those_of_the_tag(ready: Ready, engine: Engine, builds: Path) -> None:
    name = ready.project.env["COMPOSE_PROJECT_NAME"]
    done = manage(ready.root, "publish", "--json")
    assert done.returncode == 0, done
    commit = ready.git("rev-parse", "v1.2.0")
    assert json.loads(done.stdout) == {
        "tag": "v1.2.0",
        "commit": commit,
        "image": f"localhost:5000/team/forest@{DIGEST}",
        "airflow_image": f"localhost:5000/team/forest-airflow@{DIGEST}",
    }
    package, airflow = builds.read_text(encoding="utf-8").splitlines()
    assert package.startswith(
        f"build package localhost:5000/team/forest:v1.2.0 {commit} false ls: "
    )
    assert airflow.startswith("build --build-arg LOCK=production airflow-init ")
    said = done.stdout + done.stderr + package + airflow
    assert not [secret for secret in secrets_of(ready.project) if secret in said]
    pushed = "localhost:5000/team/forest"
    query = "tag=v1.2.0&repo=localhost%3A5000%2Fteam%2Fforest"
    assert engine.asked == [
        f"/images/sha256:2/tag?{query}&force=0",
        f"/images/{pushed}/push?tag=v1.2.0",
        f"/images/sha256:2/tag?{query}-airflow&force=0",
        f"/images/{pushed}-airflow/push?tag=v1.2.0",
        f"remove {name}-release-airflow?force=False&noprune=False",
    ]
    assert engine.looked_at == [f"{pushed}:v1.2.0", f"{name}-release-airflow"]
    assert worktrees(ready) == 1 and ready.git("status", "--porcelain") == ""
    assert not list((ready.root / ".gaiaflow").glob("release-*"))


def test_a_lock_file_of_other_dependencies(ready: Ready, engine: Engine, builds: Path) -> None:
    script(builds.parent / "bin" / "uv", "echo changed >uv.lock")
    done = manage(ready.root, "publish", "v1.2.0")
    assert (done.returncode, "lock file of v1.2.0 does not match" in done.stderr) == (1, True)
    assert not builds.exists() and worktrees(ready) == 1


@pytest.mark.parametrize(
    ("tag", "says"),
    [("v9.9.9", "no tag 'v9.9.9', neither here nor on origin"), ("v1.2.0", "Docker does not")],
)
def test_what_is_missing_is_told(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tag: str, says: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    done = manage(ready.root, "publish", tag)
    assert (done.returncode, says in done.stderr) == (1, True), done
    assert worktrees(ready) == 1


def test_before_the_first_release(ready: Ready) -> None:
    ready.git("tag", "--delete", "v1.2.0")
    done = manage(ready.root, "publish")
    assert (done.returncode, "There is no tag of a release" in done.stderr) == (1, True)


def test_a_worktree_goes_whatever_happens(tmp_path: Path) -> None:
    ready = Ready(tmp_path, "Wälder 1")
    ready.git("tag", "v1.2.0")
    with (
        pytest.raises(KeyboardInterrupt),
        checked_out(ready.root, ready.asked, "refs/tags/v1.2.0") as folder,
    ):
        assert folder.name == "Wälder 1" and (folder / "pyproject.toml").is_file()
        (folder / "new.txt").touch()
        raise KeyboardInterrupt
    assert not folder.exists() and worktrees(ready) == 1


@pytest.mark.parametrize(
    ("remote", "repository"),
    [
        ("https://github.com/Team/Forest.git", "ghcr.io/team/forest"),
        ("https://me:token@github.com/team/forest", "ghcr.io/team/forest"),
        ("git@github.com:team/forest.git", "ghcr.io/team/forest"),
        ("git@github.com:123/forest.git", "ghcr.io/123/forest"),
        ("ssh://git@github.com:22/team/forest/", "ghcr.io/team/forest"),
        ("https://gitlab.com/eo/team/forest.git", "registry.gitlab.com/eo/team/forest/image"),
        ("https://git.example.org/team/forest", None),
        ("https://github.com.example.org/team/forest", None),
        ("/srv/github.com/team/forest", None),
    ],
)
def test_where_images_go(ready: Ready, remote: str, repository: str | None) -> None:
    ready.replace("pyproject.toml", "[tool.gaiaflow.release]", "[tool.other]")
    ready.git("remote", "set-url", "origin", remote)
    if repository:
        assert images.repository(ready.root, ready.asked) == repository
    else:
        with pytest.raises(GaiaflowError, match="not known") as raised:
            images.repository(ready.root, ready.asked)
        assert "token" not in str(raised.value)


@pytest.mark.parametrize(
    "image", ["forest", "UPPER/forest", "a/b:v1", "https://a/b", f"a/b@{DIGEST}"]
)
def test_a_setting_that_names_no_repository(ready: Ready, image: str) -> None:
    ready.replace("pyproject.toml", "localhost:5000/team/forest", image)
    with pytest.raises(GaiaflowError, match="names no repository"):
        images.repository(ready.root, ready.asked)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ([{"error": "denied: requested access"}], "ghcr.io did not take .*denied.*\nLog in"),
        ([{"error": "unauthorized: authentication required"}], "docker login ghcr.io$"),
        ([{"error": "dial tcp: lookup ghcr.io: no such host"}], "no such host\nTry again"),
        ([{"status": "done"}], "does not say which digest"),
    ],
)
def test_a_registry_that_refuses(
    engine: Engine, says: list[dict[str, object]], expected: str
) -> None:
    engine.says = says
    with (
        contextlib.closing(docker.DockerClient(engine.address)) as client,
        pytest.raises(GaiaflowError, match=f"(?s){expected}"),
    ):
        images.push(client, "forest:1", "ghcr.io/team/forest", "v1")


def test_an_image_that_is_not_there(engine: Engine) -> None:
    engine.lacks = "forest:1"
    with (
        contextlib.closing(docker.DockerClient(engine.address)) as client,
        pytest.raises(GaiaflowError, match="There is no image forest:1"),
    ):
        images.push(client, "forest:1", "ghcr.io/team/forest", "v1")
