"""`copier copy` of the template, against the same files without questions, and cookiecutter."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.common import Goal, Row, interleaved, seconds
from benchmarks.workshop import Workshop, commit, copy


def rows(workshop: Workshop, repeat: int) -> list[Row]:
    """Time generations without environments, from git repositories on this disk."""
    rendered = workshop.generate("rendered")
    static = _static_template(rendered, workshop.root / "static")
    cookie = _cookiecutter(rendered, workshop.root / "cookie")
    config = workshop.root / "cookiecutter.yaml"  # keeps cookiecutter out of the home folder
    caches = {name: str(workshop.root / name) for name in ("cookiecutters_dir", "replay_dir")}
    config.write_text(json.dumps(caches), encoding="utf-8")
    copier = workshop.tool("copier")["copy", "--quiet", "--defaults"]
    bake = workshop.tool("cookiecutter")["--no-input", "--config-file", str(config)]
    targets = (workshop.root / f"generated-{number}" for number in itertools.count())
    measured = interleaved(
        {
            "gaiaflow": lambda: seconds(lambda: workshop.generate(next(targets).name)),
            "static": lambda: seconds(lambda: copier(str(static), str(next(targets)))),
            "cookiecutter": lambda: seconds(
                lambda: bake("-o", str(next(targets)), f"git+file://{cookie}")
            ),
        },
        max(repeat, 3),
        "generation",
    )
    ours = measured["gaiaflow"]
    files = f"{sum(1 for _ in _files(rendered))} files"
    return [
        Row(
            "copier copy, setup=none",
            ours,
            measured["static"],
            "copier copy of static files",
            goal=Goal("ratio", 1.3),
            note=files,
        ),
        Row("copier copy, setup=none", ours, measured["cookiecutter"], "cookiecutter", note=files),
    ]


def _files(rendered: Path) -> Iterator[Path]:
    """What the template renders, relative: without what its task makes."""
    for path in sorted(rendered.rglob("*")):
        name = path.relative_to(rendered)
        if (
            path.is_file()
            and name.parts[0] not in {".git", ".env"}
            and "__pycache__" not in name.parts
        ):
            yield name


def _static_template(rendered: Path, target: Path) -> Path:
    for name in _files(rendered):
        copy(rendered / name, target / name)
    return commit(target)


def _cookiecutter(rendered: Path, target: Path) -> Path:
    """The same files for cookiecutter, which renders all but those that would not survive it."""
    raw = []
    for name in _files(rendered):
        copy(rendered / name, target / "{{cookiecutter.name}}" / name)
        text = (rendered / name).read_bytes()
        if any(sign in text for sign in (b"{{", b"{%", b"{#")):
            raw.append(str(name))
    context = {"name": "project", "_copy_without_render": raw}
    (target / "cookiecutter.json").write_text(json.dumps(context), encoding="utf-8")
    return commit(target)
