"""The double of the Kubernetes API as a team's cluster, which `doctor` examines.

    python team.py FOLDER

Everything is as team.json in FOLDER says, which is read at each request. FOLDER has a file `hold`:

    objects   what exists: path and object; lists are made of them
    lacks     rights that are refused: "VERB RESOURCE", or "USER VERB RESOURCE"
    extra     rights that an account has beyond its role
    refuses   [status, message] for each new pod
    problem   [reason, message]: why a pod doesn't start
    ended     how the program in a pod ends
    said      what it prints; null: it doesn't end
    executed  what a command in a pod prints
    ahead     seconds by which the server's clock is ahead

Like its base, it does NOT prove what only a cluster can: it answers what it is told to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web
from double import Cluster, Json, Pod, Refused, main, matches, now
from simulated import SIDECAR, SimulatedPod

ROLE = {
    *(f"{verb} pods" for verb in ("create", "get", "list", "patch", "delete")),
    *("get pods/log", "get pods/exec", "create pods/exec", "list events"),
}


def told(folder: Path) -> Json:
    return dict(json.loads((folder / "team.json").read_text(encoding="utf-8")))


class ToldPod(SimulatedPod):
    """A pod whose program ends as the file says."""

    @property
    def told(self) -> Json:
        return told(self.volumes.parent)

    def as_json(self) -> Json:
        self.problem = tuple(self.told["problem"]) if self.told["problem"] else None
        return super().as_json()

    def _status(self, name: str, image: str) -> Json:
        if self.problem:
            return Pod._status(self, name, image)
        if name != SIDECAR and self.told["said"] is not None:
            self.containers[name]["ended"] = now()
        status = super()._status(name, image)
        if ended := status["state"].get("terminated"):
            ended |= self.told["ended"]
        return status

    def log(self, container: str, follow: bool, timestamps: bool) -> Iterator[bytes]:
        yield self.told["said"].encode()


class Team(Cluster):
    """What the file says, and pods in the namespace of tasks."""

    def routes(self) -> list[web.RouteDef]:
        inside = "/api/v1/namespaces/{namespace}/{kind}"
        return [
            web.get("/api/v1/namespaces/{namespace}", self.get_told),
            web.post("/apis/authorization.k8s.io/v1/{kind}", self.review),
            web.get("/apis/{group:apps|rbac.authorization.k8s.io}/v1/{rest:.*}", self.get_told),
            web.get("/api/v1/namespaces/{namespace}/pods/{name}/exec", self.execute_told),
            web.get(f"{inside}/{{name}}", self.get_told),
            web.get(inside, self.list_told),
            *super().routes(),
        ]

    async def version(self, request: web.Request) -> web.Response:
        answer = await super().version(request)
        answer.headers["Date"] = formatdate(time.time() + told(self.folder)["ahead"], usegmt=True)
        return answer

    async def get_told(self, request: web.Request) -> web.Response:
        objects = told(self.folder)["objects"]
        if request.path in objects:
            return web.json_response(objects[request.path])
        if request.match_info.get("name") in self.pods:
            return await super().get_pod(request)
        raise Refused(404, f"{request.path} not found")

    async def list_told(self, request: web.Request) -> web.Response:
        objects, above = told(self.folder)["objects"], f"{request.path}/"
        items = [item for path, item in objects.items() if path.startswith(above)]
        if request.match_info["kind"] == "pods":
            items += [pod.as_json() for pod in self.pods.values()]
        selector = request.query.get("labelSelector", "")
        items = [item for item in items if matches(selector, item)]
        return web.json_response({"kind": "List", "metadata": {}, "items": items})

    async def review(self, request: web.Request) -> web.Response:
        asked, known = await request.json(), told(self.folder)
        wanted = asked["spec"]["resourceAttributes"]
        sub = f"/{wanted['subresource']}" if wanted.get("subresource") else ""
        right = f"{wanted['verb']} {wanted['resource']}{sub}"
        user = asked["spec"].get("user", "").rpartition(":")[2]
        if user and "create subjectaccessreviews" in known["lacks"]:
            raise Refused(403, "subjectaccessreviews.authorization.k8s.io is forbidden")
        allowed = not user or right in ROLE or right in known["extra"]
        allowed = allowed and f"{user} {right}".strip() not in known["lacks"]
        return web.json_response({**asked, "status": {"allowed": allowed}}, status=201)

    async def create_pod(self, request: web.Request) -> web.Response:
        if refusal := told(self.folder)["refuses"]:
            raise Refused(*refusal)
        return await super().create_pod(request)

    async def execute_told(self, request: web.Request) -> web.StreamResponse:
        channel = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await channel.prepare(request)
        text: Any = told(self.folder)["executed"]
        await channel.send_bytes(b"\x01" + text.encode())
        await channel.send_bytes(b'\x03{"status": "Success"}')
        await channel.close()
        return channel


if __name__ == "__main__":
    main(ToldPod, Team)
