"""A double of the Kubernetes API whose pods are real containers on the Docker engine.

It answers the few calls that KubernetesPodOperator and minikube_manager.py make: pods with their
logs, their exec over a websocket and their events; secrets, services and endpoint slices as plain
objects. What it says of a pod that can't start, of one that ran out of memory, of one that is being
deleted and of a request that is refused, is what a Kubernetes 1.36 has said. It does NOT prove what
only a cluster can: rights, scheduling, pulls, DNS, admission. The tests marked `cluster` do.

    python double.py FOLDER

A file `denied` in FOLDER has what is refused from then on, as "create pods/exec", in lines.
FOLDER gets kubeconfig.json, each pod's manifest as JSON, and pods.log with "made NAME" and "gone
NAME"; and what programs inside a cluster find
mounted, `serviceaccount`, with one file more: the port of the API that answers by TLS, as to them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import functools
import json
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import docker
from aiohttp import web
from docker.errors import DockerException, NotFound

Json = dict[str, Any]
TOKEN = "only-for-tests"
LABEL = "gaiaflow.double"
NODE = {"cpu": 64.0, "memory": 64.0, "nvidia.com/gpu": 0.0}  # the only one; memory in GiB
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@functools.cache
def engine() -> docker.DockerClient:
    return docker.from_env()


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


class Refused(Exception):
    """What the API server would not accept, with the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Pod:
    """One pod: its manifest, and a container for each of the manifest's."""

    def __init__(self, manifest: Json, folder: Path, secrets: dict[str, Json]) -> None:
        self.manifest = manifest
        self.name = manifest["metadata"]["name"]
        self.problem: tuple[str, str] | None = None  # why it can't start: reason, message
        manifest["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        self.volumes = folder / f"volumes-{self.name}"
        for volume in manifest["spec"].get("volumes", []):
            path = self.volumes / volume["name"]
            path.mkdir(parents=True)
            path.chmod(0o777)
        self.containers: dict[str, Any] = {}
        self.killed: set[str] = set()  # containers of which it is known why they were killed
        specs = manifest["spec"]["containers"]
        lacks = [name for name, there in NODE.items() if total(specs, name) > there]
        if lacks:
            short = ", ".join(f"1 Insufficient {name}" for name in lacks)
            message = (
                f"0/1 nodes are available: {short}. no new claims to deallocate, preemption: "
                "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )
            self.problem = ("Unschedulable", message)
            return
        try:
            envs = [self._env(spec, secrets) for spec in specs]
        except KeyError as error:
            message = f'secret "{error.args[0]}" not found'
            self.problem = ("CreateContainerConfigError", message)
            return
        for spec, env in zip(specs, envs, strict=True):
            try:
                self.containers[spec["name"]] = self._start(spec, env)
            except NotFound:
                denied = "pull access denied, repository does not exist or may need authorization"
                self.problem = ("ErrImagePull", f"failed to pull image: {denied}")
                if spec.get("imagePullPolicy") == "Never":
                    said = f'Container image "{spec["image"]}" is not present with pull policy of'
                    self.problem = ("ErrImageNeverPull", f"{said} Never")

    def _env(self, spec: Json, secrets: dict[str, Json]) -> dict[str, str]:
        env: dict[str, str] = {}
        for source in spec.get("envFrom", []):
            reference = source["secretRef"]
            if reference["name"] in secrets:
                data = secrets[reference["name"]].get("data", {})
                env |= {name: base64.b64decode(value).decode() for name, value in data.items()}
            elif not reference.get("optional"):
                raise KeyError(reference["name"])
        return env | {entry["name"]: entry.get("value", "") for entry in spec.get("env", [])}

    def _start(self, spec: Json, env: dict[str, str]) -> Any:
        limits = spec.get("resources", {}).get("limits", {})
        memory = limits.get("memory", "512Mi").replace("Mi", "m").replace("Gi", "g")
        user = self.manifest["spec"].get("securityContext", {}).get("runAsUser")
        engine().images.get(spec["image"])  # else the engine would ask a registry
        return engine().containers.run(
            spec["image"],
            entrypoint=spec.get("command"),
            command=spec.get("args"),
            environment=env,
            user=f"{user}:0" if user is not None else None,
            cap_drop=spec.get("securityContext", {}).get("capabilities", {}).get("drop"),
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            network_mode="bridge",
            volumes={
                str(self.volumes / mount["name"]): {"bind": mount["mountPath"], "mode": "rw"}
                for mount in spec.get("volumeMounts", [])
            },
            labels={LABEL: str(self.volumes.parent)},
            detach=True,
        )

    def as_json(self) -> Json:
        placed = {"type": "PodScheduled", "status": "True"}
        if self.problem and self.problem[0] == "Unschedulable":
            reason, message = self.problem
            placed |= {"status": "False", "reason": reason, "message": message}
            return {**self.manifest, "status": {"phase": "Pending", "conditions": [placed]}}
        statuses = []
        for spec in self.manifest["spec"]["containers"]:
            statuses.append(self._status(spec["name"], spec["image"]))
        states = [status["state"] for status in statuses]
        if self.problem:
            phase = "Pending"
        elif all("terminated" in state for state in states):
            codes = [state["terminated"]["exitCode"] for state in states]
            phase = "Failed" if any(codes) else "Succeeded"
        else:
            phase = "Running"
        status = {
            "phase": phase,
            "startTime": self.manifest["metadata"]["creationTimestamp"],
            "conditions": [placed],
            "containerStatuses": statuses,
        }
        return {**self.manifest, "status": status}

    def _status(self, name: str, image: str) -> Json:
        shown: Json = {"name": name, "image": image, "imageID": "", "restartCount": 0}
        if self.problem:
            reason, message = self.problem
            return shown | {
                "ready": False,
                "state": {"waiting": {"reason": reason, "message": message}},
            }
        container = self.containers[name]
        container.reload()
        # The engine says that a container was killed before it says why.
        deadline = time.monotonic() + (0 if name in self.killed else 1)
        while container.attrs["State"]["ExitCode"] == 137 and time.monotonic() < deadline:
            self.killed.add(name)
            if container.attrs["State"]["OOMKilled"]:
                break
            time.sleep(0.05)
            container.reload()
        state = container.attrs["State"]
        if state["Running"]:
            return shown | {"ready": True, "state": {"running": {"startedAt": state["StartedAt"]}}}
        reason = "Error" if state["ExitCode"] else "Completed"
        if state["OOMKilled"]:
            reason = "OOMKilled"
        ended = {
            "exitCode": state["ExitCode"],
            "reason": reason,
            "startedAt": state["StartedAt"],
            "finishedAt": state["FinishedAt"],
        }
        return shown | {"ready": False, "state": {"terminated": ended}}

    def log(self, container: str, follow: bool, timestamps: bool) -> Iterator[bytes]:
        stream = self.containers[container].logs(stream=True, follow=follow, timestamps=timestamps)
        return iter(stream)

    async def speak(
        self, container: str, command: list[str], channel: web.WebSocketResponse
    ) -> None:
        """Run a command in a container: what it reads and writes goes through the channel."""
        socket = await asyncio.to_thread(self._execute, container, command)

        async def forward() -> None:
            with contextlib.suppress(OSError):  # the other side has heard enough
                while header := await asyncio.to_thread(read, socket, 8):
                    data = await asyncio.to_thread(read, socket, int.from_bytes(header[4:], "big"))
                    await channel.send_bytes(bytes([header[0]]) + data)
                await channel.send_bytes(b"\x03" + b'{"status": "Success"}')
                await channel.close()

        task = asyncio.create_task(forward())
        async for message in channel:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            if data[:1] == b"\x00":
                await asyncio.to_thread(socket.sendall, data[1:])
        with contextlib.suppress(OSError):
            socket.shutdown(SHUT_RDWR)
        await task
        socket.close()

    def _execute(self, container: str, command: list[str]) -> Any:
        api = engine().api
        made = api.exec_create(self.containers[container].id, command, stdin=True)
        return api.exec_start(made["Id"], socket=True)._sock

    def end(self, grace: int) -> None:
        """Ask the containers to end, all at once; those that don't are killed after the grace."""
        with ThreadPoolExecutor() as pool, contextlib.suppress(DockerException):
            list(
                pool.map(lambda container: container.stop(timeout=grace), self.containers.values())
            )

    def delete(self) -> None:
        for container in self.containers.values():
            with contextlib.suppress(DockerException):  # gone already
                container.remove(force=True)
        shutil.rmtree(self.volumes, ignore_errors=True)


class Cluster:
    """The objects of the cluster, and the HTTP handlers that show them."""

    def __init__(self, folder: Path, kind: type[Pod] = Pod) -> None:
        self.folder = folder
        self.kind_of_pods = kind
        self.pods: dict[str, Pod] = {}
        self.deleting: dict[str, asyncio.Task[None]] = {}
        self.objects: dict[str, dict[str, Json]] = {}  # of other kinds, by plural and name

    def routes(self) -> list[web.RouteDef]:
        pods = "/api/v1/namespaces/{namespace}/pods"
        plain = "/{prefix:api|apis}/{group:.*}/namespaces/{namespace}/{kind}"
        return [
            web.get("/version", self.version),
            web.get(pods, self.list_pods),
            web.post(pods, self.create_pod),
            web.get(f"{pods}/{{name}}", self.get_pod),
            web.patch(f"{pods}/{{name}}", self.patch_pod),
            web.delete(f"{pods}/{{name}}", self.delete_pod),
            web.get(f"{pods}/{{name}}/log", self.log),
            web.get(f"{pods}/{{name}}/exec", self.execute),
            web.get(plain, self.list_objects),
            web.post(plain, self.create_object),
            web.get(f"{plain}/{{name}}", self.get_object),
            web.put(f"{plain}/{{name}}", self.replace_object),
            web.delete(f"{plain}/{{name}}", self.delete_object),
        ]

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "36", "gitVersion": "v1.36.0-double"})

    def note(self, what: str, name: str) -> None:
        with (self.folder / "pods.log").open("a", encoding="utf-8") as log:
            log.write(f"{what} {name}\n")

    # --- pods --------------------------------------------------------------------------------

    def pod(self, request: web.Request) -> Pod:
        name = request.match_info["name"]
        if name not in self.pods:
            raise Refused(404, f'pods "{name}" not found')
        return self.pods[name]

    async def list_pods(self, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        found = [pod for pod in self.pods.values() if matches(selector, pod.manifest)]
        items = []
        for pod in found:
            try:
                items.append(await asyncio.to_thread(pod.as_json))
            except NotFound:  # a test has removed its containers
                self.pods.pop(pod.name, None)
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "items": items})

    async def create_pod(self, request: web.Request) -> web.Response:
        manifest = await request.json()
        check(manifest)
        manifest["metadata"].setdefault("namespace", request.match_info["namespace"])
        name = manifest["metadata"]["name"]
        text = json.dumps(manifest, indent=2)
        (self.folder / f"pod-{name}.json").write_text(text, encoding="utf-8")
        self.note("made", name)
        secrets = self.objects.get("secrets", {})
        self.pods[name] = pod = await asyncio.to_thread(
            self.kind_of_pods, manifest, self.folder, secrets
        )
        return web.json_response(await asyncio.to_thread(pod.as_json), status=201)

    async def get_pod(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self.pod(request).as_json))

    async def patch_pod(self, request: web.Request) -> web.Response:
        pod, change = self.pod(request), await request.json()
        pod.manifest["metadata"]["labels"] |= change["metadata"]["labels"]
        return web.json_response(await asyncio.to_thread(pod.as_json))

    async def delete_pod(self, request: web.Request) -> web.Response:
        """It is there until its containers have ended, as a pod that is being deleted."""
        pod = self.pod(request)
        asked = (await request.json() if request.can_read_body else {}).get("gracePeriodSeconds")
        grace = asked or pod.manifest["spec"].get("terminationGracePeriodSeconds", 30)
        if "deletionTimestamp" not in pod.manifest["metadata"]:
            pod.manifest["metadata"]["deletionTimestamp"] = now()

            async def delete() -> None:
                await asyncio.to_thread(pod.end, grace)
                del self.pods[pod.name]
                self.note("gone", pod.name)
                await asyncio.to_thread(pod.delete)

            self.deleting[pod.name] = asyncio.create_task(delete())
        return web.json_response(await asyncio.to_thread(pod.as_json))

    async def log(self, request: web.Request) -> web.StreamResponse:
        pod, query = self.pod(request), request.query
        lines = pod.log(
            query["container"],
            query.get("follow", "").lower() == "true",
            query.get("timestamps", "").lower() == "true",
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while (line := await asyncio.to_thread(next, lines, None)) is not None:
            await response.write(line)
        return response

    async def execute(self, request: web.Request) -> web.WebSocketResponse:
        """Channels of v4.channel.k8s.io: 0 input, 1 output, 2 errors, 3 how it ended."""
        pod, query = self.pod(request), request.query
        channel = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await channel.prepare(request)
        await pod.speak(query["container"], query.getall("command"), channel)
        return channel

    # --- other objects -------------------------------------------------------------------------

    def kind(self, request: web.Request) -> dict[str, Json]:
        return self.objects.setdefault(request.match_info["kind"], {})

    def object(self, request: web.Request) -> Json:
        name = request.match_info["name"]
        if name not in self.kind(request):
            raise Refused(404, f'{request.match_info["kind"]} "{name}" not found')
        return self.kind(request)[name]

    async def list_objects(self, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        items = [item for item in self.kind(request).values() if matches(selector, item)]
        _, _, name = request.query.get("fieldSelector", "").partition("involvedObject.name=")
        items = [item for item in items if not name or item["involvedObject"]["name"] == name]
        return web.json_response({"kind": "List", "metadata": {}, "items": items})

    async def create_object(self, request: web.Request) -> web.Response:
        created = await request.json()
        name = created["metadata"]["name"]
        if name in self.kind(request):
            raise Refused(409, f'{request.match_info["kind"]} "{name}" already exists')
        self.kind(request)[name] = stored(created)
        return web.json_response(created, status=201)

    async def get_object(self, request: web.Request) -> web.Response:
        return web.json_response(self.object(request))

    async def replace_object(self, request: web.Request) -> web.Response:
        self.object(request)
        replaced = stored(await request.json())
        self.kind(request)[request.match_info["name"]] = replaced
        return web.json_response(replaced)

    async def delete_object(self, request: web.Request) -> web.Response:
        self.object(request)
        del self.kind(request)[request.match_info["name"]]
        return web.json_response({"kind": "Status", "status": "Success"})


def stored(item: Json) -> Json:
    """An object as the API server keeps it: secrets have `data` only."""
    for name, value in (item.pop("stringData", None) or {}).items():
        data = item.setdefault("data", {})
        data[name] = base64.b64encode(value.encode()).decode()
    return item


def check(manifest: Json) -> None:
    """What a real API server refuses and a schema lets pass."""
    for container in manifest["spec"]["containers"]:
        for entry in container.get("env", []):
            if not isinstance(entry.get("value", ""), str):
                raise Refused(400, "cannot unmarshal into EnvVar.value of type string")


def total(specs: list[Json], resource: str) -> float:
    """What all containers together request of a resource."""
    units = {"Mi": 1 / 1024, "Gi": 1.0, "m": 1 / 1000, "": 1.0}
    wanted = [spec.get("resources", {}).get("requests", {}).get(resource, "0") for spec in specs]
    parts = [re.fullmatch(r"([\d.]+)(\D*)", str(value)) for value in wanted]
    return sum(float(part[1]) * units[part[2]] for part in parts if part)


def allow(request: web.Request, denied: Path) -> None:
    """Refuse what is denied, in the words of a cluster with rights."""
    found = re.search(r"/namespaces/([^/]+)/(\w+)(?:/([^/]+)(/\w+)?)?$", request.path)
    if not found or not denied.exists():
        return
    namespace, kind, name, sub = found.groups()
    verbs = [VERBS.get(request.method) or ("get" if name else "list")]
    if sub == "/exec":
        verbs.append("create")
    resource, which = kind + (sub or ""), f' "{name}"' if name else ""
    for verb in verbs:
        if f"{verb} {resource}" in denied.read_text().splitlines():
            raise Refused(
                403,
                f'{kind}{which} is forbidden: User "system:serviceaccount:airflow:worker" cannot '
                f'{verb} resource "{resource}" in API group "" in the namespace "{namespace}"',
            )


def matches(selector: str, item: Json) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        if term.startswith("!"):
            fits = term[1:] not in labels
        elif "!=" in term:
            name, _, value = term.partition("!=")
            fits = labels.get(name) != value
        else:
            name, _, value = term.partition("=")
            fits = labels.get(name) == value
        if not fits:
            return False
    return True


def read(socket: Any, size: int) -> bytes:
    """Exactly so many bytes, or fewer at the end."""
    data = b""
    while len(data) < size and (part := socket.recv(size - len(data))):
        data += part
    return data


@web.middleware
async def guard(request: web.Request, handler: Any) -> Any:
    try:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if (scheme.lower(), token) != ("bearer", TOKEN):
            raise Refused(401, "Unauthorized")
        allow(request, request.app["denied"])
        note_call(request)
        return await handler(request)
    except Refused as error:
        body = {"kind": "Status", "status": "Failure", "message": str(error), "code": error.status}
        return web.json_response(body, status=error.status)


def note_call(request: web.Request) -> None:
    """Count calls, in calls.log: one a line, such as "GET pods/{name}/log"."""
    resource = request.match_info.route.resource
    path = resource.canonical.rpartition("{namespace}/")[2] if resource else ""
    with (request.app["denied"].with_name("calls.log")).open("a", encoding="utf-8") as log:
        log.write(f"{request.method} {path}\n")


def kube_config(port: int, contexts: tuple[str, ...] = ("host", "containers")) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0],
        "clusters": [{"name": "double", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "double", "user": {"token": TOKEN}}],
        "contexts": [
            {"name": name, "context": {"cluster": "double", "user": "double"}} for name in contexts
        ],
    }


def service_account(folder: Path) -> ssl.SSLContext:
    """Write what a pod finds about its cluster; the server's side of it."""
    folder.mkdir()
    authority, key = folder / "ca.crt", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=double", "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(key), "-out", str(authority)]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "token").write_text(TOKEN)
    (folder / "namespace").write_text("default")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)
    return context


async def serve(
    folder: Path, kind: type[Pod] = Pod, kind_of_cluster: type[Cluster] = Cluster
) -> None:
    application = web.Application(middlewares=[guard])
    application["denied"] = folder / "denied"
    cluster = kind_of_cluster(folder, kind)
    application.add_routes(cluster.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    inside = folder / "serviceaccount"
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=service_account(inside)).start()
    (inside / "port").write_text(str(runner.addresses[1][1]))
    path = folder / "kubeconfig.json"
    path.with_suffix(".part").write_text(json.dumps(kube_config(port)), encoding="utf-8")
    path.with_suffix(".part").replace(path)
    try:
        await asyncio.Event().wait()
    finally:
        for pod in cluster.pods.values():
            pod.delete()


def main(kind: type[Pod] = Pod, kind_of_cluster: type[Cluster] = Cluster) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), kind, kind_of_cluster))


if __name__ == "__main__":
    main()
