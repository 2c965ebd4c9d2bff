"""Two made-up releases after the present one, with every kind of migration between them."""

from __future__ import annotations

from pathlib import Path

OLD, NEW = "901.0.0", "902.0.0"

SHARED = "".join(f"step_{number} = {number}\n" for number in range(40))
LATIN = "# Größe der Fläche\n".encode("latin-1")

MIGRATION = '''"""What the made-up release changed."""

from tasks.migrations import (
    DroppedQuestion,
    DroppedSetting,
    Moved,
    RenamedChoice,
    RenamedImport,
    RenamedQuestion,
    RenamedSetting,
    Split,
)

MIGRATION = [
    Moved("gaiaflow/made_up/moved.py", "gaiaflow/made_up/deeper/relocated.py"),
    Moved("gaiaflow/made_up/folder", "gaiaflow/made_up/folder_renamed"),
    Moved(".github/workflows/made_up.yml", ".github/workflows/made_up_renamed.yml"),
    Split("gaiaflow/made_up/split.py", ["gaiaflow/made_up/split.py", "gaiaflow/made_up/part.py"]),
    Split("gaiaflow/made_up/halves.py", ["gaiaflow/made_up/one.py", "gaiaflow/made_up/two.py"]),
    RenamedQuestion("flavour", "taste", {"sweet": "sugary"}),
    RenamedChoice("colour", "red", "crimson"),
    DroppedQuestion("mood"),
    RenamedSetting("MADE_UP_OLD", "MADE_UP_NEW"),
    DroppedSetting("MADE_UP_DROPPED"),
    RenamedImport("gaiaflow.made_up.moved", "gaiaflow.made_up.deeper.relocated"),
]
'''

QUESTIONS = """
flavour:
  type: str
  default: sour
  choices: [sour, sweet]
  help: Which?

colour:
  type: str
  default: red
  choices: [red, green]
  help: Which?

mood:
  type: str
  default: good
  help: Which?
"""

NEW_QUESTIONS = """
taste:
  type: str
  default: sour
  choices: [sour, sugary]
  help: Which?

colour:
  type: str
  default: green
  choices: [crimson, green]
  help: Which?
"""

SETTINGS = "SETTINGS: tuple[Setting, ...] = (\n"


def write_old(repository: Path) -> None:
    """Add files of every kind, questions and settings."""
    template = repository / "template"
    _replace(repository / "copier.yml", "\nsetup:\n", f"{QUESTIONS}\nsetup:\n")
    _replace(
        template / "gaiaflow" / "project" / "settings.py",
        SETTINGS,
        SETTINGS
        + '    Setting("MADE_UP_OLD", "Has a default.", "value"),\n'
        + '    Setting("MADE_UP_DROPPED", "Has a default.", "dropped"),\n',
    )
    made_up = template / "gaiaflow" / "made_up"
    files: dict[str, bytes] = {
        "__init__.py": b"",
        "moved.py": SHARED.encode(),
        "folder/one.py": SHARED.encode(),
        "folder/two.py": b"two = 2\n",
        "split.py": SHARED.encode(),
        "halves.py": SHARED.encode(),
        "dropped.py": SHARED.encode(),
        "changed.py": SHARED.encode(),
        "answers.py.jinja": b"FLAVOUR = '{{ flavour }}'\nCOLOUR = '{{ colour }}'\n# {{ mood }}\n",
        "picture.bin": bytes(range(256)),
        ".gitattributes": b"windows.txt -text\n",
        "windows.txt": SHARED.replace("\n", "\r\n").encode(),
        "latin.txt": LATIN * 3 + SHARED.encode(),
        "no_newline.txt": SHARED.encode().rstrip(),
        "empty.txt": b"",
        "program.sh": b"#!/bin/sh\necho old\n",
    }
    for name, data in files.items():
        _write(made_up / name, data)
    (made_up / "program.sh").chmod(0o755)
    (template / "dags" / "uses_made_up.py").write_text(
        "from gaiaflow.made_up import moved\nimport gaiaflow.made_up.moved\n\n"
        "print(moved.step_1, gaiaflow.made_up.moved.step_2)\n"
    )
    _write(template / ".github" / "workflows" / "made_up.yml", b"on: push\njobs: {}\n" * 1)


def write_new(repository: Path) -> None:
    """Change, rename, move, split and drop files of every class."""
    template = repository / "template"
    (repository / "tasks" / "migrations" / "v902_0_0.py").write_text(MIGRATION)
    _replace(repository / "copier.yml", QUESTIONS, NEW_QUESTIONS)
    _replace(
        template / "gaiaflow" / "project" / "settings.py",
        '    Setting("MADE_UP_OLD", "Has a default.", "value"),\n'
        + '    Setting("MADE_UP_DROPPED", "Has a default.", "dropped"),\n',
        '    Setting("MADE_UP_NEW", "Has a default.", "another"),\n'
        + '    Setting("MADE_UP_SECRET", "Is made.", make=_token),\n'
        + '    Setting("MADE_UP_PORT", "Near others.", "8081"),\n',
    )
    made_up = template / "gaiaflow" / "made_up"
    changed = SHARED.replace("step_3 =", "step_three =").replace("step_33 =", "step_thirty_three =")
    _move(made_up / "moved.py", made_up / "deeper" / "relocated.py", changed)
    _move(made_up / "folder" / "one.py", made_up / "folder_renamed" / "one.py", changed)
    _move(made_up / "folder" / "two.py", made_up / "folder_renamed" / "two.py", "two = 2\n")
    lines = SHARED.splitlines(keepends=True)
    (made_up / "split.py").write_text("".join(lines[:20]))
    (made_up / "part.py").write_text("".join(lines[20:]))
    (made_up / "halves.py").unlink()
    (made_up / "one.py").write_text("".join(lines[:20]))
    (made_up / "two.py").write_text("".join(lines[20:]))
    (made_up / "dropped.py").unlink()
    (made_up / "changed.py").write_text("first = 0\n" + changed + "last = 0\n")
    (made_up / "answers.py.jinja").write_text("TASTE = '{{ taste }}'\nCOLOUR = '{{ colour }}'\n")
    (made_up / "picture.bin").write_bytes(bytes(reversed(range(256))))
    (made_up / "windows.txt").write_bytes(changed.replace("\n", "\r\n").encode())
    (made_up / "latin.txt").write_bytes(LATIN * 2 + changed.encode())
    (made_up / "no_newline.txt").write_bytes(changed.encode().rstrip() + b"\n# more")
    (made_up / "empty.txt").write_bytes(b"now = 'full'\n")
    (made_up / "program.sh").write_text("#!/bin/sh\necho new\n")
    (made_up / "program.sh").chmod(0o644)
    (made_up / "new.sh").write_text("#!/bin/sh\n")
    (made_up / "new.sh").chmod(0o755)
    workflows = template / ".github" / "workflows"
    _move(workflows / "made_up.yml", workflows / "made_up_renamed.yml", "on: push\njobs: {a: {}}\n")
    for name in (
        "mlops_manager.py",
        "gaiaflow/project/errors.py",
        "gaiaflow/project/stamps.py",
        ".gitignore",
    ):
        path = template / name
        middle = path.read_text().splitlines(keepends=True)
        middle.insert(len(middle) // 2, "\n" if name != ".gitignore" else "*.made-up\n")
        path.write_text("".join(middle) + "# the end\n")
    pyproject = template / "pyproject.toml.jinja"
    _replace(pyproject, '    "boto3>=', '    "attrs>=23",\n    "boto3>=')
    # The user's files are also changed, moved and deleted, without effect.
    _move(template / "dags" / "change_me.py.jinja", template / "dags" / "start_here.py", "# new\n")
    (template / "data" / "README.md").unlink()
    (template / "README.md.jinja").write_text("# Rewritten\n")
    (template / "tests" / "test_new.py").write_text("def test_new() -> None: ...\n")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _move(old: Path, new: Path, text: str) -> None:
    old.unlink()
    _write(new, text.encode())


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path} has {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")
