"""The container files are sound, whatever the answers: read, linted and resolved, not run.

`docker compose config` needs the plugin and no engine.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pathspec import PathSpec

from gaiaflow.project import clients

from tests.conftest import ROOT, Render

MANAGERS = ("uv", "pixi", "conda")
STORES = ("seaweedfs", "rustfs", "minio")
TEMPLATE = ROOT / "template"
COMPOSE_FILES = [
    TEMPLATE / "docker-compose.yml",
    *sorted((TEMPLATE / "dockerfiles" / "object-store").glob("*.yml")),
]
DOCKERFILES = sorted(TEMPLATE.glob("dockerfiles/**/*Dockerfile"))
STAND_INS = sorted(ROOT.glob("tests/engine/images/*/Dockerfile"))

# Who may reach what. All that isn't named here may reach nothing.
NETWORKS = {
    "postgres": {"databases"},
    "object-store": {"tasks"},
    "bucket": {"tasks"},
    "airflow-init": {"databases"},
    "airflow-api-server": {"databases", "airflow"},
    "airflow-scheduler": {"databases", "airflow", "tasks"},
    "airflow-dag-processor": {"databases", "airflow"},
    "airflow-triggerer": {"databases", "airflow"},
    "mlflow": {"databases", "tasks"},
    "environment": {"tasks"},
    "jupyterlab": {"tasks"},
    "own": {"tasks"},  # and so are the services in services/
    "maps": {"tasks"},
    "serving": {"airflow", "tasks"},
}
STEPS = {"bucket", "airflow-init", "environment"}
ONLY_BUILT = {"package"}  # an image that no service here runs

Service = dict[str, Any]
Config = dict[str, Any]


def settings_in(pattern: str) -> set[str]:
    """The settings that the compose files read in a certain way."""
    texts = [path.read_text(encoding="utf-8") for path in COMPOSE_FILES]
    return {name for text in texts for name in re.findall(rf"\$\{{(\w+){pattern}", text)}


# MINIO_IMAGE is asked of those who have chosen MinIO only.
REQUIRED = sorted(settings_in(r":\?") - {"MINIO_IMAGE"})


# --- Dockerfiles -----------------------------------------------------------------------------


def hadolint(*arguments: str | Path) -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", DOCKERFILES, ids=name_of)
def test_hadolint(path: Path) -> None:
    assert "hadolint" not in path.read_text(encoding="utf-8"), "a rule is ignored in the file"
    # Debian removes a package's version when there is a newer one: a pin would break the build.
    hadolint("--ignore=DL3008", path)


@pytest.mark.parametrize("path", STAND_INS, ids=name_of)
def test_hadolint_on_our_stand_ins(path: Path) -> None:
    # DL3008 wants exact versions, but Debian keeps only one of each package.
    hadolint("--ignore=DL3008", path)


def stages(path: Path) -> dict[str, str]:
    """The stages of a Dockerfile by name; one without a name is the image."""
    parts = re.split(r"(?m)^(?=FROM )", path.read_text(encoding="utf-8"))
    names = [re.match(r"FROM \S+(?: AS (\w+))?", part) for part in parts[1:]]
    found = {name[1] or "image": part for name, part in zip(names, parts[1:], strict=True) if name}
    assert len(found) == len(parts) - 1
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=name_of)
def test_images_come_from_the_table_and_are_not_roots(path: Path) -> None:
    found = stages(path)
    bases = re.findall(r"(?m)^FROM (\S+)", path.read_text(encoding="utf-8"))
    assert all(base in found or re.fullmatch(r"\$\{\w+_IMAGE\}", base) for base in bases)
    for name in {"image", "environment", "package"} & set(found):
        users = re.findall(r"(?m)^USER (.+)$", found[name])
        assert users == ["50000:0"], name
        # Nothing becomes root again, and the last word is the command.
        assert re.search(r"USER 50000:0\n(#.*\n|ENTRYPOINT \[\]\n)*CMD \[[^\n]+", found[name])


def test_the_package_images_are_alike() -> None:
    """Three files, because each manager is a base of its own; what is not its business agrees."""
    tails = []
    for manager in MANAGERS:
        found = stages(TEMPLATE / "dockerfiles" / "package" / f"{manager}.Dockerfile")
        assert {"tool", "environment", "dependencies", "package"} <= set(found)
        tails.append(found["package"].partition("\nENV HOME=/tmp")[2])
        assert "PATH=/opt/env/venv/bin:$PATH" in found["environment"]
        for stage in ("environment", "package"):  # the package may lie in src/
            assert "PYTHONPATH=/opt/project:/opt/project/src " in found[stage]
    assert tails[0] and tails[1] == tails[2] == tails[0]
    order = ["COPY gaiaflow", "ARG SOURCE", "COPY ${SOURCE}", "USER"]  # what changes most: last
    places = [tails[0].index(f"\n{line}") for line in order]
    assert places == sorted(places)


def test_the_conda_image_leaves_out_tools_and_the_project(render: Render, tmp_path: Path) -> None:
    """Run its `sed` on a project's file: what is left are the package's dependencies."""
    project = render(environment_manager="conda")
    dockerfile = project / "dockerfiles" / "package" / "conda.Dockerfile"
    text = stages(dockerfile)["dependencies"]
    [script] = re.findall(r"sed --in-place '(.+)' environment.yml", text)
    whole = yaml.safe_load((project / "environment.yml").read_text(encoding="utf-8"))
    shutil.copy(project / "environment.yml", tmp_path)
    subprocess.run(["sed", "-i", script, "environment.yml"], cwd=tmp_path, check=True)
    rest = yaml.safe_load((tmp_path / "environment.yml").read_text(encoding="utf-8"))
    dropped = [line for line in whole["dependencies"][:-1] if line not in rest["dependencies"]]
    tools = {"jupyterlab", "mypy", "nbclient", "pytest", "ruff"}
    assert {line.partition("=")[0] for line in dropped} == tools
    assert rest["dependencies"][-1]["pip"] == whole["dependencies"][-1]["pip"][:-1]
    assert rest["channels"] == ["conda-forge"]


def test_the_running_conda_environment_is_all_but_the_project(
    render: Render, tmp_path: Path
) -> None:
    project = render(environment_manager="conda")
    text = stages(project / "dockerfiles" / "package" / "conda.Dockerfile")["environment"]
    [command] = re.findall(r"(?s)^CMD (\[.+\])\n", text, re.MULTILINE)
    shell, option, script = json.loads(re.sub(r"\\\n\s*", "", command))  # as Docker reads it
    assert (shell, option) == ("sh", "-ec")
    # Up to where conda is called.
    script = script.partition("; if cmp")[0].replace("/tmp/", f"{tmp_path}/")
    subprocess.run([shell, option, script], cwd=project, check=True)
    rest = yaml.safe_load((tmp_path / "environment.yml").read_text(encoding="utf-8"))
    whole = yaml.safe_load((project / "environment.yml").read_text(encoding="utf-8"))
    assert whole["dependencies"][-1]["pip"].pop() == "-e ."
    assert whole["channels"].pop() == "nodefaults"
    assert rest == whole


def test_the_context_has_no_secrets_and_no_data() -> None:
    """By the rules of .dockerignore: a pattern counts from the root, unless it begins with **."""
    lines = (TEMPLATE / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line if line.startswith("**/") else f"/{line}" for line in lines if line[:1] != "#"]
    ignored = PathSpec.from_lines("gitignore", rules)
    kept_out = [".env", ".env.bak", ".git/config", "data/scene.tif", "kube_config_inline"]
    kept_out += [".gaiaflow/backend", ".venv/bin/python", "forest_watch/__pycache__/x.pyc"]
    assert [path for path in kept_out if not ignored.match_file(path)] == []
    copied = re.findall(
        r"(?m)^COPY (?!--from)(.+) \S+$", "".join(path.read_text("utf-8") for path in DOCKERFILES)
    )
    needed = {name.replace("${SOURCE}", "forest_watch") for line in copied for name in line.split()}
    assert {"pyproject.toml", "gaiaflow", "forest_watch", "environment.yml", "pixi.lock"} <= needed
    assert [name for name in needed if ignored.match_file(name)] == []


# --- docker compose config -------------------------------------------------------------------


@pytest.fixture(scope="session")
def compose() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `docker compose ARGUMENTS` in a project, with nothing of this shell's settings."""
    docker = shutil.which("docker")
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}

    def run(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [docker or "docker", "compose", "--profile", "*", *arguments],
            cwd=project,
            env={**kept, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    if docker is None or run(ROOT, "version").returncode:
        pytest.skip("there is no Docker Compose here")
    return run


Compose = Callable[..., "subprocess.CompletedProcess[str]"]
Made = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def made(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project with the .env that its first command writes. Leave it as it is, or copy it."""
    projects: dict[tuple[str, str], Path] = {}

    def make(manager: str, store: str) -> Path:
        if (manager, store) not in projects:
            project = tmp_path_factory.mktemp("compose") / "project"
            shutil.copytree(render(environment_manager=manager, object_store=store), project)
            in_project(project, "project.prepare(root)")
            if store == "minio":
                with (project / ".env").open("a", encoding="utf-8") as env:
                    env.write("MINIO_IMAGE=example.org/minio:RELEASE.2025-10-15T17-29-55Z\n")
            projects[manager, store] = project
        return projects[manager, store]

    return make


def in_project(project: Path, expression: str) -> str:
    """Evaluate Python with the project's framework, by the standard library alone."""
    program = (
        "import json, pathlib; from gaiaflow.project import clients, project; "
        f"root = pathlib.Path.cwd(); print({expression})"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session", params=itertools.product(MANAGERS, STORES), ids="-".join)
def config(request: pytest.FixtureRequest, compose: Compose, made: Made) -> Config:
    """All that compose makes of a project's files."""
    manager, store = request.param
    done = compose(made(manager, store), "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: Config = json.loads(done.stdout)
    found["asked"] = {"manager": manager, "store": store}
    return found


@pytest.fixture
def running(config: Config) -> dict[str, Service]:
    """The services that run at some time, by name."""
    return {name: it for name, it in config["services"].items() if name not in ONLY_BUILT}


def test_the_answers_are_used(config: Config) -> None:
    asked, services = config["asked"], config["services"]
    dockerfile = f"dockerfiles/package/{asked['manager']}.Dockerfile"
    targets = {
        name: service["build"]["target"]
        for name, service in services.items()
        if service.get("build", {}).get("dockerfile") == dockerfile
    }
    assert targets == {
        "environment": "environment",
        "jupyterlab": "environment",
        "own": "environment",
        "package": "package",
        "serving": "package",
    }
    assert asked["store"].removesuffix("fs") in services["object-store"]["image"]


def test_dockerfiles_of_other_managers_are_not_there(render: Render) -> None:
    for manager in MANAGERS:
        folder = render(environment_manager=manager) / "dockerfiles" / "package"
        assert [path.name for path in folder.iterdir()] == [f"{manager}.Dockerfile"]


def test_every_service_is_contained(running: dict[str, Service]) -> None:
    for name, service in running.items():
        assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) <= 4 * 2**30, name
        assert service["pids_limit"], name
        forbidden = {"cap_add", "container_name", "devices", "network_mode", "pid", "privileged"}
        assert not forbidden & set(service), name
        sources = [volume.get("source", "") for volume in service.get("volumes", [])]
        assert not [source for source in sources if "docker.sock" in source], name


def test_every_service_is_looked_after(running: dict[str, Service]) -> None:
    for name, service in running.items():
        assert service["logging"]["driver"] == "json-file", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert service["restart"] == ("no" if name in STEPS else "unless-stopped"), name
        if name in STEPS:
            assert "healthcheck" not in service, name
        else:
            assert service["healthcheck"]["interval"] in {"2s", "10s"}, name
            assert service["healthcheck"]["test"][0] == "CMD", name  # no shell beside each check


def test_images_have_a_tag(config: Config) -> None:
    for name, service in config["services"].items():
        tag = service["image"].rpartition("/")[2].partition(":")[2]
        if "build" in service:  # named after the project
            assert service["image"].startswith(config["name"]) and not tag, name
            images = filter(None, service["build"]["args"].values())
            assert all(image.rpartition(":")[2] not in {"", "latest"} for image in images)
        else:
            assert tag and tag != "latest", name


def test_ports_are_open_on_this_machine_only(running: dict[str, Service]) -> None:
    published = {}
    for name, service in running.items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
            published[name] = port["target"]
    assert published == {
        "airflow-api-server": 8080,
        "mlflow": 5000,
        "object-store": 8333,
        "jupyterlab": 8888,
        "maps": 8000,
        "serving": 8000,
    }


def test_networks(config: Config, running: dict[str, Service]) -> None:
    assert {name: set(service["networks"]) for name, service in running.items()} == NETWORKS
    assert config["networks"]["databases"]["internal"] is True


def test_nothing_waits_for_what_never_comes(running: dict[str, Service]) -> None:
    for name, service in running.items():
        for other, need in service.get("depends_on", {}).items():
            wanted = {"service_completed_successfully"} if other in STEPS else set()
            wanted = wanted or {"service_healthy", "service_started"}
            assert need["condition"] in wanted, f"{name} needs {other}"


def test_no_secret_is_in_a_command(running: dict[str, Service], made: Made, config: Config) -> None:
    text = (made(*config["asked"].values()) / ".env").read_text(encoding="utf-8")
    env = dict(re.findall(r"(?m)^(\w+)=(.*)$", text))
    secrets = {
        value
        for name, value in env.items()
        if re.search("PASSWORD|SECRET|TOKEN|FERNET|ACCESS_KEY|SERVING_KEY", name)
    }
    assert len(secrets) == 12
    for name, service in running.items():
        words = [*(service["command"] or []), *(service["entrypoint"] or [])]
        words += service.get("healthcheck", {}).get("test", [])
        words += service.get("build", {}).get("args", {}).values()
        assert [word for word in words for secret in secrets if secret in word] == [], name


def test_one_contract_for_all_object_stores(config: Config) -> None:
    store = config["services"]["object-store"]
    env = config["x-client"]
    assert env["AWS_ENDPOINT_URL"] == "http://object-store:8333"
    assert env.items() >= clients.gdal_env(env["AWS_ENDPOINT_URL"]).items()
    given = list(store["environment"].values())
    assert env["AWS_ACCESS_KEY_ID"] in given and env["AWS_SECRET_ACCESS_KEY"] in given
    [data] = store["volumes"]
    assert (data["type"], data["source"], data["target"]) == ("volume", "objects", "/data")
    said = " ".join(map(str, [*(store["command"] or []), *given]))
    assert re.search(r"(?<!\d)8333\b", said) and "/data" in said


def test_a_task_sees_the_same_variables_in_every_backend(config: Config, made: Made) -> None:
    project = made(*config["asked"].values())
    listing = "json.dumps(list(clients.client_env(project.load(root))))"
    local = set(json.loads(in_project(project, listing))) - {"NO_PROXY", "no_proxy"}
    assert set(config["x-client"]) == local
    for name in ("bucket", "airflow-scheduler", "mlflow", "jupyterlab", "maps", "serving"):
        assert config["x-client"].items() <= config["services"][name]["environment"].items()


# --- Settings --------------------------------------------------------------------------------


@pytest.fixture
def project(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made("uv", "seaweedfs"), tmp_path / "project"))


# What a person may add to .env, and what the manager tells Compose.
NOT_SET_AT_FIRST = {
    *("TASK_MEMORY", "GAIAFLOW_KEEP_FAILED", "NOTIFY_URLS"),
    *("SERVING_SCENES_DAG", "SERVING_SCENES_FROM"),
    *("GAIAFLOW_SECRETS", "DOCKER_SOCKET", "DOCKER_GROUP"),
    *("GAIAFLOW_COMMIT", "GAIAFLOW_DIRTY", "PACKAGE_SOURCE", "PC_SDK_SUBSCRIPTION_KEY"),
}


def test_what_has_no_default_is_asked_for() -> None:
    """`:?` and `:-` see an empty value too; a plain name is one that is asked for elsewhere."""
    assert settings_in(r"\}") <= set(REQUIRED)
    assert settings_in(r"[?-]") == set()
    optional = settings_in(":-")
    assert not optional & set(REQUIRED)
    assert all(name.endswith(("_IMAGE", "_VERSION")) for name in optional - NOT_SET_AT_FIRST)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_setting_that_is_missing_is_named(
    project: Path, compose: Compose, name: str, how: str
) -> None:
    env = project / ".env"
    text = env.read_text(encoding="utf-8")
    assert f"\n{name}=" in text
    line = f"{name}=\n" if how == "empty" else ""
    env.write_text(re.sub(rf"(?m)^{name}=.*\n", line, text), encoding="utf-8")
    done = compose(project, "config", "--quiet")
    assert done.returncode != 0
    assert f"{name} is missing a value: is missing in .env" in done.stderr


@pytest.mark.parametrize("urls", ["", "json://127.0.0.1/token ntfy://topic"])
def test_only_airflow_tells_people(project: Path, compose: Compose, urls: str) -> None:
    env = project / ".env"
    text = env.read_text(encoding="utf-8")
    changed = text.replace("\nNOTIFY_URLS=\n", f"\nNOTIFY_URLS={urls}\n")
    env.write_text(changed, encoding="utf-8")
    services = json.loads(compose(project, "config", "--format", "json").stdout)["services"]
    for name, service in services.items():
        given = service.get("environment") or {}
        if name.startswith("airflow"):
            assert given["NOTIFY_URLS"] == urls
            assert given["PYTHONPATH"].endswith("/notifying/entry_points") == bool(urls)
        else:
            assert "NOTIFY_URLS" not in given


def test_an_empty_env_names_a_setting(project: Path, compose: Compose) -> None:
    (project / ".env").write_text("", encoding="utf-8")
    done = compose(project, "config", "--quiet")
    assert done.returncode != 0
    assert any(f"{name} is missing a value" in done.stderr for name in REQUIRED)


def test_minio_asks_for_an_image(made: Made, compose: Compose, tmp_path: Path) -> None:
    project = Path(shutil.copytree(made("uv", "minio"), tmp_path / "project"))
    env = project / ".env"
    text = re.sub(r"(?m)^MINIO_IMAGE=.*\n", "", env.read_text(encoding="utf-8"))
    env.write_text(text, encoding="utf-8")
    done = compose(project, "config", "--quiet")
    assert done.returncode != 0
    assert "MINIO_IMAGE is missing a value: is missing in .env. MinIO publishes no" in done.stderr


@pytest.mark.parametrize("name", ["POSTGRES_IMAGE", "PYTHON_IMAGE", "SEAWEEDFS_IMAGE"])
def test_an_image_can_be_pinned_by_digest(project: Path, compose: Compose, name: str) -> None:
    image = f"example.org/some/image:1.2@sha256:{'0123456789abcdef' * 4}"
    with (project / ".env").open("a", encoding="utf-8") as env:
        env.write(f"{name}={image}\n")
    done = compose(project, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    used = {name: service["image"] for name, service in services.items()}
    if name == "PYTHON_IMAGE":
        built = [service["build"]["args"] for service in services.values() if "build" in service]
        assert {args["PYTHON_IMAGE"] for args in built} == {image}
    else:
        assert used[{"POSTGRES_IMAGE": "postgres"}.get(name, "object-store")] == image


def test_memory_is_a_setting(project: Path, compose: Compose) -> None:
    done = compose(project, "config", "--format", "json", TASK_MEMORY="7g")
    services = json.loads(done.stdout)["services"]
    more = {name for name, it in services.items() if it.get("mem_limit") == str(7 * 2**30)}
    assert more == {"airflow-scheduler", "environment", "jupyterlab", "own", "serving"}
