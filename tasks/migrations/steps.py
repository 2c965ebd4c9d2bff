"""The steps of migrations. Each overrides the methods that it needs."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.merging import Entry, Tree, merge_lines, with_ends_of


class Step:
    """One thing that a release changed. The methods do nothing by default."""

    def answers(self, answers: dict[str, Any]) -> None:
        """Change the answers, before the new release's questions are asked."""

    def files(self, base: Tree, ours: Tree, theirs: Tree) -> None:
        """Change the trees of framework and shared files that are merged afterwards."""

    def settings(self, env: str) -> str:
        """Change the text of `.env`."""
        return env

    def code(self, path: str, data: bytes) -> bytes:
        """Change one of the user's Python files or notebooks."""
        return data


@dataclass(frozen=True)
class Moved(Step):
    """A file, or a folder with the release's files in it, has a new path.

    A file that the user deleted stays deleted. A file that they added to the folder stays there.
    """

    old: str
    new: str

    def files(self, base: Tree, ours: Tree, theirs: Tree) -> None:
        """Move the file both in the old release and in the project."""
        for path in [path for path in base if path == self.old or path.startswith(f"{self.old}/")]:
            target = self.new + path[len(self.old) :]
            if target in ours and path in ours:
                continue  # the user has a file with that name: the merge shows a conflict
            base[target] = base.pop(path)
            if path in ours:
                ours[target] = ours.pop(path)


@dataclass(frozen=True)
class Split(Step):
    """A file is split into several; `old` may be one of them.

    Each of the user's changes goes to the first part where it fits. A change that fits nowhere is
    shown as a conflict in the first part.
    """

    old: str
    parts: Sequence[str]

    def files(self, base: Tree, ours: Tree, theirs: Tree) -> None:
        """Give each part its share of the changes, as a change to the whole old file."""
        old, our = base.get(self.old), ours.get(self.old)
        if old is None:
            return
        parts = [part for part in self.parts if part in theirs]
        taken = [part for part in parts if part in ours and part != self.old]
        if our is None or taken or not parts:
            if our is None:  # deleted: its parts stay deleted too
                base.update({part: old for part in parts if part not in base})
            return
        changes = dict.fromkeys(parts, our)
        before = with_ends_of(our.data, old.data)
        if our.data != before and our.is_text:
            texts = [with_ends_of(our.data, theirs[part].data) for part in parts]
            shares = _shares(before, our.data, texts)
            for part, share in zip(parts, shares, strict=True):
                changes[part] = Entry(our.mode, share)
        if self.old not in parts:
            del base[self.old], ours[self.old]
        for part in parts:
            base[part], ours[part] = old, changes[part]


def _shares(old: bytes, our: bytes, parts: Sequence[bytes]) -> list[bytes]:
    """For each part, the old text with those of our changes that fit there."""
    before, after = old.splitlines(keepends=True), our.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    hunks = [opcode[1:] for opcode in matcher.get_opcodes() if opcode[0] != "equal"]

    def changed(chosen: Sequence[tuple[int, int, int, int]]) -> bytes:
        lines, last = [], 0
        for start, end, from_line, to_line in chosen:
            lines += before[last:start] + after[from_line:to_line]
            last = end
        return b"".join(lines + before[last:])

    chosen: list[list[tuple[int, int, int, int]]] = [[] for _ in parts]
    for hunk in hunks:
        fits = [merge_lines(old, changed([hunk]), part, "")[1] for part in parts]
        chosen[fits.index(True) if True in fits else 0].append(hunk)
    return [changed(each) for each in chosen]


@dataclass(frozen=True)
class Joined(Step):
    """A new file of lines that a project may already have: ours go below the project's."""

    path: str

    def files(self, base: Tree, ours: Tree, theirs: Tree) -> None:
        """Make the release's lines the only change."""
        our, new = ours.get(self.path), theirs.get(self.path)
        if our is None or new is None or self.path in base or not our.is_text:
            return
        known = {line.strip() for line in our.data.splitlines()}
        lines = [line for line in new.data.splitlines() if line.strip() not in known]
        above = our.data if our.data.endswith(b"\n") or not our.data else our.data + b"\n"
        base[self.path] = our
        theirs[self.path] = Entry(our.mode, above + b"".join(line + b"\n" for line in lines))


@dataclass(frozen=True)
class RenamedQuestion(Step):
    """A question has a new name, and perhaps new values; the answer is kept."""

    old: str
    new: str
    values: Mapping[Any, Any] = field(default_factory=dict)

    def answers(self, answers: dict[str, Any]) -> None:
        """Move the answer."""
        if self.old in answers and self.new not in answers:
            value = answers.pop(self.old)
            answers[self.new] = self.values.get(value, value)


@dataclass(frozen=True)
class RenamedChoice(Step):
    """A choice of a question is renamed, or replaced by another one."""

    question: str
    old: Any
    new: Any

    def answers(self, answers: dict[str, Any]) -> None:
        """Change the answer if it is this choice."""
        if answers.get(self.question) == self.old:
            answers[self.question] = self.new


@dataclass(frozen=True)
class DroppedQuestion(Step):
    """A question is no longer asked."""

    name: str

    def answers(self, answers: dict[str, Any]) -> None:
        """Drop the answer."""
        answers.pop(self.name, None)


@dataclass(frozen=True)
class RenamedSetting(Step):
    """A setting in `.env` has a new name; its value stays."""

    old: str
    new: str

    def settings(self, env: str) -> str:
        """Rename it, unless the new one already exists."""
        if _assignment(self.new).search(env):
            return env
        return _assignment(self.old).sub(rf"\g<1>{self.new}\g<2>", env)


@dataclass(frozen=True)
class DroppedSetting(Step):
    """A setting in `.env` is no longer used; its line becomes a comment."""

    name: str

    def settings(self, env: str) -> str:
        """Comment it out: a value is never thrown away."""
        return _assignment(self.name).sub(rf"# no longer used: \g<1>{self.name}\g<2>", env)


def _assignment(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?m)^([ \t]*(?:export[ \t]+)?){re.escape(name)}([ \t]*=)")


@dataclass(frozen=True)
class RenamedImport(Step):
    """A module has a new name, or a name moves to another module.

    `RenamedImport("gaiaflow.console", "gaiaflow.terminal")` rewrites imports of the module and of
    names from it; `RenamedImport("gaiaflow.tasks:create_task", "gaiaflow:make_task")` those of one
    name. The rest of the code keeps the names that it uses (`import make_task as create_task`).
    Statements that contain comments, and files that aren't valid Python, stay unchanged.
    """

    old: str
    new: str

    def code(self, path: str, data: bytes) -> bytes:
        """Rewrite the import statements in a Python file or in a notebook's lines."""
        if self.old.partition(":")[0].rpartition(".")[2].encode() not in data:
            return data
        if path.endswith(".ipynb"):
            line = re.compile(rb'(?m)^(\s*")((?:from|import) [^"\\#]*)(?=(?:\\n)?",?\r?$)')
            return line.sub(lambda found: found[1] + self._line(found[2]), data)
        try:
            nodes = list(ast.walk(ast.parse(data)))
        except (SyntaxError, ValueError):
            return data
        lines = data.splitlines(keepends=True)
        for node in nodes:
            if not isinstance(node, ast.Import | ast.ImportFrom | ast.Attribute):
                continue
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            text = b"".join(lines[first : last + 1])
            if not text.isascii() or not text.strip():
                continue
            start, end = node.col_offset, len(text) - len(lines[last]) + (node.end_col_offset or 0)
            if isinstance(node, ast.Attribute):
                if ast.unparse(node) == self.old:  # as after `import gaiaflow.console`
                    lines[first] = self._dotted(lines[first])
            elif b"#" not in text[start:end] and (made := self._statements(node)):
                inline = text[:start].strip() or text[end:].strip(b" \t\r\n")
                end_of_line = b"\r\n" if text.endswith(b"\r\n") else b"\n"
                between = b"; " if inline else end_of_line + text[:start]
                changed = text[:start] + between.join(made) + text[end:]
                lines[first : last + 1] = [changed, *[b""] * (last - first)]
        return b"".join(lines)

    def _line(self, statement: bytes) -> bytes:
        """Rewrite a statement on one line of a notebook."""
        try:
            node = ast.parse(statement).body[0]
        except (SyntaxError, ValueError, IndexError):
            return statement
        if not isinstance(node, ast.Import | ast.ImportFrom):
            return statement
        made = self._statements(node)
        return b"; ".join(made) if made else statement

    def _statements(self, node: ast.Import | ast.ImportFrom) -> list[bytes]:
        """The statements that replace an import; empty if the change doesn't affect it."""
        old, _, name = self.old.partition(":")
        new, _, new_name = self.new.partition(":")
        if isinstance(node, ast.Import):
            if name or not any(self._within(alias.name) for alias in node.names):
                return []
            names = [ast.alias(self._renamed(alias.name), alias.asname) for alias in node.names]
            return [ast.unparse(ast.Import(names)).encode()]
        module = node.module or ""
        if node.level:
            return []  # relative: the user's own
        if not name and self._within(module):
            return [ast.unparse(ast.ImportFrom(self._renamed(module), node.names, 0)).encode()]
        if not name:  # from gaiaflow import console
            old, _, name = old.rpartition(".")
            new, _, new_name = new.rpartition(".")
        moved = [alias for alias in node.names if alias.name == name]
        if module != old or not moved:
            return []
        rest = [alias for alias in node.names if alias.name != name]
        kept = [ast.alias(new_name, alias.asname or name) for alias in moved]
        for alias in kept:
            if alias.asname == alias.name:
                alias.asname = None
        made = [ast.ImportFrom(old, rest, 0)] if rest else []
        return [ast.unparse(each).encode() for each in [*made, ast.ImportFrom(new, kept, 0)]]

    def _within(self, module: str) -> bool:
        return module == self.old or module.startswith(f"{self.old}.")

    def _renamed(self, module: str) -> str:
        return self.new + module[len(self.old) :] if self._within(module) else module

    def _dotted(self, line: bytes) -> bytes:
        pattern = rb"(?<![\w.])" + re.escape(self.old.encode()) + rb"(?!\w)"
        return re.sub(pattern, self.new.encode(), line)
