"""The double of the Kubernetes API with pods that run nothing, for what only Airflow does.

    python simulated.py FOLDER

A pod "runs" until no file `hold` is in FOLDER. Its function "returns" the image that it ran in and
its arguments.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from double import Json, Pod, main, now

SIDECAR = "airflow-xcom-sidecar"


class SimulatedPod(Pod):
    """A pod whose containers are only told of."""

    def _start(self, spec: Json, env: dict[str, str]) -> Any:
        return {"env": env, "started": now(), "ended": ""}

    def _status(self, name: str, image: str) -> Json:
        container = self.containers[name]
        if name != SIDECAR and not (self.volumes.parent / "hold").exists():
            container["ended"] = container["ended"] or now()
        times = {"startedAt": container["started"]}
        state: Json = {"running": times}
        if container["ended"]:
            times["finishedAt"] = container["ended"]
            state = {"terminated": {"exitCode": 0, "reason": "Completed", **times}}
        is_ready = not container["ended"]
        return {
            "name": name,
            "image": image,
            "imageID": "",
            "restartCount": 0,
            "ready": is_ready,
            "state": state,
        }

    def log(self, container: str, follow: bool, timestamps: bool) -> Iterator[bytes]:
        while follow and not self.as_json()["status"]["containerStatuses"][0]["state"].get(
            "terminated"
        ):
            time.sleep(0.2)
        stamp = f"{now()} " if timestamps else ""
        yield f"{stamp}{self.name} has run\n".encode()

    def result(self) -> bytes:
        base = self.manifest["spec"]["containers"][0]
        arguments = json.loads(self.containers[base["name"]]["env"]["GAIAFLOW_ARGUMENTS"])
        return json.dumps({"image": base["image"], "arguments": arguments}).encode()

    async def speak(
        self, container: str, command: list[str], channel: web.WebSocketResponse
    ) -> None:
        if any("return.json" in word for word in command):
            await channel.send_bytes(b"\x01" + self.result())
        else:  # the sidecar is told to end
            self.containers[SIDECAR]["ended"] = now()
        await channel.send_bytes(b'\x03{"status": "Success"}')
        await channel.close()

    def end(self, grace: int) -> None:
        del grace

    def delete(self) -> None:
        shutil.rmtree(self.volumes, ignore_errors=True)


if __name__ == "__main__":
    main(SimulatedPod)
