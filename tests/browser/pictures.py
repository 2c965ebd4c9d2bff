"""Draw the pictures of docs/images again, from a real run of a new project.

    python -m tests.browser.pictures             # all of them: about five minutes
    python -m tests.browser.pictures mlflow-run  # some of them, by name

Needs Chromium, and the packages of `pip install -e ".[dev]"`.
"""

from __future__ import annotations

import html
import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import pexpect
import pyte
from copier import run_copy
from PIL import Image
from playwright.sync_api import Browser, Page
from plumbum import cli

from tests.browser import pages
from tests.docs.blocks import blocks
from tests.stack.conftest import Project, person, run_block, wait_for
from tests.stack.serving import all_stored

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 108, 18
FRAMES_PER_SECOND = 2
COLORS = {"default": "#d8dee9", "green": "#a3be8c", "red": "#bf616a", "brown": "#ebcb8b"}


class Pictures(cli.Application):
    """Draw the pictures of docs/images again, from a real run; by name, or all"""

    def main(self, *names: str) -> int:
        program = pages.program()
        if not program:
            sys.stderr.write("error: Chromium was not found. Install it: apt install chromium\n")
            return 1
        with tempfile.TemporaryDirectory() as folder:
            project = new_project(Path(folder))
            try:
                frames = record(project, "start")
                project.manage("run", "landcover")
                with pages.chromium(program) as browser:
                    drawn = draw(project, browser, frames)
            finally:
                project.manage("stop")
        for name, data in drawn.items():
            if not names or Path(name).stem in names:
                (IMAGES / name).write_bytes(data)
                sys.stdout.write(f"docs/images/{name}: {len(data) // 1024} kB\n")
        return 0


def new_project(folder: Path) -> Project:
    """The project of README's first command, with its environments."""
    answers = {"project_name": "My project", "setup": "environment"}
    root = folder / "my-project"
    run_copy(str(ROOT), root, data=answers, vcs_ref="HEAD", defaults=True, unsafe=True, quiet=True)
    return Project(root)


def draw(project: Project, browser: Browser, frames: list[str]) -> dict[str, bytes]:
    """All pictures, by file name."""
    run = project.manage("run", "landcover", "--json").json()  # the second version of the model
    drawn = {"start.gif": animated(browser, frames)}
    with page_of(browser, 1280, 560) as page:
        pages.log_in(page, project)
        pages.open_graph(page, run["url"])
        drawn["airflow-graph.png"] = reduced(page)
    with page_of(browser, 1280, 690) as page:
        pages.open_last_run(page, project, "landcover")
        pages.show_artifact(page, "landcover.png")
        drawn["mlflow-run.png"] = reduced(page)
    with page_of(browser, 1280, 480) as page:
        pages.open_model(page, project, "landcover")
        drawn["mlflow-model.png"] = reduced(page)
    with page_of(browser, 1280, 860) as page:
        pages.give_token(page, project)
        cells = pages.run_notebook(page, project, "notebooks/tour.ipynb")
        cells.filter(has_text="map_figure(").get_by_role("img").scroll_into_view_if_needed()
        drawn["jupyterlab.png"] = reduced(page)
    project.manage("open", "maps", BROWSER="true")
    with page_of(browser, 1280, 720) as page:
        pages.open_map(page, project, "landcover")
        page.get_by_label("Compare with another layer").check()
        page.get_by_role("group", name="On the right").get_by_role("radio", name="True").check()
        pages.wait_for_tiles(page)
        drawn["map.png"] = reduced(page)
    [key] = [line.split()[-1] for line in listed(project) if line.endswith("landcover.png")][-1:]
    project.manage("get", key, str(project.root / "landcover.png"))
    drawn["landcover.png"] = (project.root / "landcover.png").read_bytes()
    return drawn | of_the_loop(project, browser)


def of_the_loop(project: Project, browser: Browser) -> dict[str, bytes]:
    """What `Close the loop` shows: drift, and the question whether to promote a model."""
    [script] = [
        block.text for block in blocks("tutorial/close-the-loop.md", "python") if not block.mark
    ]
    (project.root / "new_sensor.py").write_text(script, encoding="utf-8")
    project.manage("start", "--service", "serving")
    done = run_block(project, "python3 new_sensor.py", person())
    assert done.code == 0, done
    wait_for(lambda: all_stored(project))
    project.manage("run", "landcover_monitor")
    [key] = [line.split()[-1] for line in listed(project, "mlflow/") if "report.html" in line][-1:]
    project.manage("get", key, str(project.root / "report.html"))
    with page_of(browser, 1280, 1080) as page:
        page.goto((project.root / "report.html").as_uri())
        drawn = {"drift-report.png": reduced(page)}
    dag = project.root / "dags" / "landcover.py"
    dag.write_text(dag.read_text("utf-8").replace('PROMOTION = "auto"', 'PROMOTION = "approval"'))
    output = project.root.parent / "background.log"
    with project.in_background("run", "landcover") as run:
        asked = wait_for(lambda: re.search(r"answer at (\S+)", output.read_text()), 300)
        with page_of(browser, 1280, 560) as page:
            pages.log_in(page, project)
            page.wait_for_url("**/")
            page.goto(asked[1])
            page.get_by_role("button", name="Approve").wait_for()
            drawn["airflow-approval.png"] = reduced(page)
            pages.give_answer(page, asked[1], "Approve", "has an accuracy of")
        run.wait()
    return drawn


def listed(project: Project, prefix: str = "landcover/") -> list[str]:
    """What the object store has, a line each."""
    return project.manage("ls", prefix).out.splitlines()


class page_of:
    """A page of a browser that knows nobody, in a window of this size."""

    def __init__(self, browser: Browser, width: int, height: int) -> None:
        self._opened = pages.new_page(browser)
        self._size = (width, height)

    def __enter__(self) -> Page:
        page = self._opened.__enter__()
        page.set_viewport_size({"width": self._size[0], "height": self._size[1]})
        return page

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(None, None, None)


def reduced(page: Page) -> bytes:
    """What is seen, in 128 colors."""
    seen = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    data = io.BytesIO()
    seen.quantize(128).save(data, "PNG", optimize=True)
    return data.getvalue()


# --- a terminal ----------------------------------------------------------------------------------


def record(project: Project, *arguments: str) -> list[str]:
    """Run a command in a terminal; what it shows, a few times a second, as HTML."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    prompt = f"$ python3 mlops_manager.py {' '.join(arguments)}\r\n"
    stream.feed(prompt)
    command = [str(project.root / "mlops_manager.py"), *arguments]
    env = {**os.environ, "TERM": "xterm-256color"}
    size = (LINES, COLUMNS)
    child = pexpect.spawn(sys.executable, command, env=env, dimensions=size, encoding="utf-8")
    frames = [as_html(screen)]
    due = time.monotonic()
    while True:
        try:
            stream.feed(child.read_nonblocking(4096, timeout=0.1))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            break
        if time.monotonic() >= due:
            due += 1 / FRAMES_PER_SECOND
            frames.append(as_html(screen))
    return [*frames, as_html(screen)]


def as_html(screen: pyte.Screen) -> str:
    """What a terminal shows."""
    lines = []
    for row in range(screen.lines):
        line = ""
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            color = COLORS.get(cell.fg, COLORS["default"])
            weight = "bold" if cell.bold else "normal"
            style = f"color:{color};font-weight:{weight}"
            line += f'<span style="{style}">{html.escape(cell.data)}</span>'
        lines.append(line)
    return "\n".join(lines)


def animated(browser: Browser, frames: list[str]) -> bytes:
    """The frames as a GIF that stays on its last one."""
    seen = []
    with page_of(browser, 980, 366) as page:
        for frame in frames:
            page.set_content(
                "<body style='margin:0;background:#2e3440'>"
                "<pre style='margin:12px;font:15px/19px DejaVu Sans Mono,monospace'>"
                f"{frame}</pre></body>"
            )
            seen.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(32))
    data = io.BytesIO()
    durations = [1000 // FRAMES_PER_SECOND] * (len(seen) - 1) + [8000]
    first, *rest = seen
    first.save(
        data, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True
    )
    return data.getvalue()


if __name__ == "__main__":
    Pictures.run()
