"""The application: MLflow's scoring protocol behind the project's key, with limits."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mlflow.pyfunc import PyFuncModel
from mlflow.version import VERSION
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from gaiaflow.serving.errors import Refused
from gaiaflow.serving.metrics import Metrics
from gaiaflow.serving.request_log import Entry, RequestLog, columns
from gaiaflow.serving.scenes import MAX_BYTES, Scenes
from gaiaflow.serving.scoring import Scored, Scorer

_ID = re.compile(r"[\w.:-]{1,100}", re.ASCII)
_CODES = {400: "BAD_REQUEST", 500: "INTERNAL_ERROR"}  # as MLflow names them
_JOB = "/scenes/"  # followed by an id
_OPEN = {"/ping", "/health"}  # without a key, for probes
# Threads read requests and write answers while one of them predicts, for several requests at
# once if the model allows that. If not, more threads would only slow each other down.
_THREADS, _THREADS_ALONE = 16, 2
_SCENE_THREADS = 4  # they only wait, for Airflow and the store
_ASK_FOR_KEY = (
    "This server requires the key of its project: the header `Authorization: Bearer KEY`. "
    "KEY is SERVING_KEY in the project's .env."
)


@dataclass(frozen=True)
class Limits:
    """What requests may take.

    Args:
        max_bytes: the size of the largest body.
        max_waiting: how many requests may be in progress.
        seconds: until a request is given up.
    """

    max_bytes: int
    max_waiting: int
    seconds: float


class App:
    """An ASGI application that serves one version of a model.

    Args:
        model: the loaded model.
        name: the name of the registered model.
        version: its version.
        key: what requests must bring.
        log: gets an entry for each request.
        limits: what requests may take.
        scenes: starts the jobs that map scenes.
    """

    def __init__(
        self,
        model: PyFuncModel,
        name: str,
        version: str,
        key: str,
        log: RequestLog,
        limits: Limits,
        scenes: Scenes,
    ) -> None:
        self.leaving = (
            False  # whether clients are told to connect again: another worker answers them
        )
        self._scorer = Scorer(model)
        self._about = {"model": name, "version": version, **_signature(model)}
        self._expected = f"Bearer {key}".encode()
        self._log = log
        self._limits = limits
        self._waiting = 0
        self._metrics = Metrics(name, version, log, lambda: self._waiting)
        threads = _THREADS if self._scorer.joins else _THREADS_ALONE
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
        self._scenes = scenes
        self._scenes_waiting = 0
        self._scene_threads = ThreadPoolExecutor(_SCENE_THREADS, thread_name_prefix="scenes")
        self._routes: dict[str, tuple[str, Callable[[Request, str], Awaitable[Response]]]] = {
            "/": ("GET", self._describe),
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._version),
            "/metrics": ("GET", self._expose),
            "/invocations": ("POST", self._invoke),
            "/scenes": ("POST", self._map),
            _JOB: ("GET", self._job),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        identifier = given if _ID.fullmatch(given) else secrets.token_hex(16)
        try:
            response = await self._answer(request, identifier)
        except Refused as error:
            response = _failure(error.status, str(error), identifier)
            response.headers.update(error.headers)
        except ClientDisconnect:
            return
        response.headers["x-request-id"] = identifier
        if self.leaving:
            response.headers["connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, request: Request, identifier: str) -> Response:
        path = request.url.path
        if path not in _OPEN:
            key = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(key, self._expected):
                raise Refused(401, _ASK_FOR_KEY, {"www-authenticate": "Bearer"})
        route = _JOB if path.startswith(_JOB) else path
        if route not in self._routes:
            raise Refused(404, f"There is no {path}. Try /invocations")
        method, answer = self._routes[route]
        if request.method != method:
            raise Refused(405, f"{path} takes {method} requests.", {"allow": method})
        return await answer(request, identifier)

    # --- endpoints -------------------------------------------------------------------------------

    async def _ping(self, request: Request, identifier: str) -> Response:
        return PlainTextResponse("\n")

    async def _version(self, request: Request, identifier: str) -> Response:
        return PlainTextResponse(VERSION)

    async def _describe(self, request: Request, identifier: str) -> Response:
        return JSONResponse(self._about)

    async def _expose(self, request: Request, identifier: str) -> Response:
        content, kind = self._metrics.text()
        return Response(content, media_type=kind)

    async def _invoke(self, request: Request, identifier: str) -> Response:
        arrived, started = datetime.now(UTC), time.perf_counter()
        scored = Scored(503, "")
        try:
            scored = await self._score(request, identifier)
        except Refused as error:
            scored = Scored(error.status, str(error))
            raise
        finally:
            seconds = time.perf_counter() - started
            refused = scored.status != 200
            self._metrics.observe(scored.status, seconds, scored.inputs)
            if self._log.takes():
                rows = {"row": [0]} if refused else columns(scored.inputs, scored.predictions)
                why = scored.content if refused else None
                self._log.add(Entry(arrived, identifier, round(seconds * 1000, 3), rows, why))
        if refused:
            return _failure(scored.status, scored.content, identifier)
        headers = {"x-model-version": str(self._about["version"])}
        return Response(scored.content, media_type="application/json", headers=headers)

    async def _score(self, request: Request, identifier: str) -> Scored:
        if self._waiting >= self._limits.max_waiting:
            busy = f"{self._waiting} requests are in progress. Try again."
            raise Refused(503, busy, {"retry-after": "1"})
        kind = request.headers.get("content-type", "application/json")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.seconds):
                body = await self._body(request, self._limits.max_bytes, "Send fewer rows.")
                score = partial(self._scorer.score, body, kind, identifier)
                return await asyncio.get_running_loop().run_in_executor(self._threads, score)
        except TimeoutError:
            raise Refused(504, f"The request took more than {self._limits.seconds:g} s.") from None
        finally:
            self._waiting -= 1

    async def _map(self, request: Request, identifier: str) -> Response:
        body = await self._body(request, MAX_BYTES, "Send one scene.")
        job = await self._about_scenes(partial(self._scenes.start, body, identifier))
        self._metrics.scene()
        headers = {"location": f"{_JOB}{identifier}"}
        return JSONResponse(job, 202, headers)

    async def _job(self, request: Request, identifier: str) -> Response:
        job = request.url.path.removeprefix(_JOB)
        if not _ID.fullmatch(job):
            raise Refused(404, f"There is no job {job}.")
        return JSONResponse(await self._about_scenes(partial(self._scenes.state, job)))

    async def _about_scenes(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Ask Airflow or the store, in threads of their own: predictions don't wait for that."""
        if self._scenes_waiting >= self._limits.max_waiting:
            raise Refused(503, "Too many requests for scenes. Try again.", {"retry-after": "1"})
        self._scenes_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._scene_threads, ask)
        finally:
            self._scenes_waiting -= 1

    async def _body(self, request: Request, most: int, advice: str) -> bytes:
        too_large = Refused(413, f"The request is larger than {most / 2**20:g} MiB. {advice}")
        declared = request.headers.get("content-length", "0")
        if int(declared) > most:
            raise too_large
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_large
            parts.append(part)
        return b"".join(parts)


def _failure(status: int, message: str, identifier: str) -> Response:
    """An error in the form of MLflow's."""
    content = {"error_code": _CODES.get(status, str(status)), "message": message}
    return JSONResponse({**content, "request_id": identifier}, status)


def _signature(model: PyFuncModel) -> dict[str, Any]:
    """The inputs and outputs of a model, as its signature says."""
    signature = model.metadata.signature
    if signature is None:
        return {"inputs": None, "outputs": None}
    schemas = {"inputs": signature.inputs, "outputs": signature.outputs}
    return {name: schema.to_dict() if schema else None for name, schema in schemas.items()}
