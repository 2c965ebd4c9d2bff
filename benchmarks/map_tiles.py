"""A tile of the map, against titiler alone; and from `open maps` to a page with its first tile."""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from plumbum import local

from benchmarks.common import CannotMeasure, Goal, Row, interleaved, say
from benchmarks.workshop import REPOSITORY, Workshop

TILES = 60  # in a turn; each is another one
COLLECTION, ITEM = "benchmark", "scene"
Kind = tuple[str, str]  # of our address, and of titiler's

KINDS: dict[str, Kind] = {
    "map": ("map", "bidx=1&colormap_name=viridis"),
    "true-color": (
        "true-color",
        "bidx=3&bidx=2&bidx=1&rescale=0,3000&resampling=bilinear&reproject=bilinear"
        "&color_formula=gamma%20RGB%201.3",
    ),
}


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time tiles in turn, each turn with tiles that neither server has read yet."""
    project = workshop.project
    workshop.manage(project, "start", "--service", "maps")
    try:
        env = environment(workshop, project)
        tiles = make(project, env)
        with peer(project, env) as other:
            found = [row for kind in KINDS for row in measure(kind, tiles, env, other, repeat)]
        return [*found, *opening(workshop, project, repeat)]
    finally:
        workshop.manage(project, "stop")


def environment(workshop: Workshop, project: Path) -> dict[str, str]:
    """The variables with which the project's processes find its store."""
    code = "import json, os, gaiaflow; gaiaflow.connect(); print(json.dumps(dict(os.environ)))"
    with local.cwd(project):
        return dict(json.loads(local[str(project / ".venv" / "bin" / "python")]("-c", code)))


def make(project: Path, env: dict[str, str]) -> list[tuple[int, int, int]]:
    """Put an item into the store, and return its tiles."""
    say("Making a scene of 6000 x 6000 pixels and its classes")
    python = local[str(project / ".venv" / "bin" / "python")]
    script = str(REPOSITORY / "benchmarks" / "map_scene.py")
    made = python[script, COLLECTION, ITEM].with_env(**env)()
    return [(z, x, y) for z, x, y in json.loads(made.splitlines()[-1])]


@contextmanager
def peer(project: Path, env: dict[str, str]) -> Iterator[str]:
    """Titiler alone, in the same environment; its address."""
    python = local[str(project / ".gaiaflow" / "maps" / "bin" / "python")]
    port = int(urlsplit(env["MAPS_URL"]).port or 0) + 10_000
    script = str(REPOSITORY / "benchmarks" / "map_peer.py")
    process = python[script, str(port)].with_env(**env).popen()
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                fetch(connect(f"http://127.0.0.1:{port}"), "/health")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise CannotMeasure("titiler alone does not start") from None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def measure(
    kind: str, tiles: list[tuple[int, int, int]], env: dict[str, str], other: str, repeat: int
) -> list[Row]:
    """The median time of a tile, in turns."""
    own, options = KINDS[kind]
    file = {"map": "map.tif", "true-color": "scene.tif"}[kind]
    url = quote(f"s3://{env['S3_BUCKET']}/maps/benchmark/{file}", safe="")
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    token = base64.b64encode(":".join(env[name] for name in names).encode()).decode()
    turns = {"ours": 0, "titiler": 0}

    def turn(name: str) -> float:
        first = turns[name] * TILES
        turns[name] += 1
        taken = []
        connection = connect(env["MAPS_URL"] if name == "ours" else other)
        for number in range(first, first + TILES):
            z, x, y = tiles[number % len(tiles)]
            if name == "ours":
                path = f"/layers/{COLLECTION}/{ITEM}/{own}/{z}/{x}/{y}.png"
            else:
                path = f"/tiles/WebMercatorQuad/{z}/{x}/{y}.png?url={url}&{options}"
            begun = time.perf_counter()
            fetch(connection, path, {"Authorization": f"Basic {token}"})
            taken.append(time.perf_counter() - begun)
        connection.close()
        return statistics.median(taken) * 1000

    actions = {name: partial(turn, name) for name in turns}
    for action in actions.values():
        action()  # the first opens the file, and imports
    median = interleaved(actions, max(repeat, 5), f"tile ({kind})")
    goal = Goal("ratio", 1.2)
    name = f"tile of the map: {kind}"
    return [Row(name, median["ours"], median["titiler"], "titiler alone", "ms", goal)]


def opening(workshop: Workshop, project: Path, repeat: int) -> list[Row]:
    """From the command to the first tile in a browser that runs already."""
    name, goal = "open maps, until the first tile", Goal("value", 2.0)
    sys.path.append(str(REPOSITORY / "template"))
    try:
        from tests.browser import pages
    except ImportError as error:
        return [Row(name, float("nan"), note=f"not measured: {error}")]
    program = pages.program()
    if not program:
        return [Row(name, float("nan"), note="not measured: no Chromium")]
    script = workshop.root / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > "{script}.address"\n', encoding="utf-8")
    script.chmod(0o755)
    taken = []
    with pages.chromium(program) as browser:
        for _ in range(repeat):
            with pages.new_page(browser) as page, local.env(BROWSER=str(script)):
                begun = time.monotonic()
                workshop.manage(project, "open", "maps")
                page.goto(script.with_suffix(".address").read_text(encoding="utf-8").strip())
                page.wait_for_selector(".leaflet-tile-loaded")
                taken.append(time.monotonic() - begun)
    return [Row(name, statistics.median(taken), goal=goal)]


def fetch(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None
) -> bytes:
    """Get an answer over a connection that stays open, as a browser's does."""
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise CannotMeasure(f"{path}: {answer.status} {body[:300]!r}")
    return body


def connect(server: str) -> http.client.HTTPConnection:
    """A connection to a server of this machine."""
    url = urlsplit(server)
    return http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
