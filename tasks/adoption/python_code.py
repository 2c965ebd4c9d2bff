"""Read literal values from Python code without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import libcst as cst


class NotLiteral(Exception):
    """The value is known only when the code runs."""


def constants(module: cst.Module) -> dict[str, Any]:
    """The literal values of a module's names that are set exactly once."""
    found: dict[str, Any] = {}
    twice: set[str] = set()
    for statement in module.body:
        if not isinstance(statement, cst.SimpleStatementLine):
            continue
        for part in statement.body:
            for name, value in _assigned(part):
                if name in found:
                    twice.add(name)
                try:
                    found[name] = literal(value, found)
                except NotLiteral:
                    twice.add(name)
    return {name: value for name, value in found.items() if name not in twice}


def _assigned(part: cst.BaseSmallStatement) -> list[tuple[str, cst.BaseExpression]]:
    if isinstance(part, cst.AnnAssign) and isinstance(part.target, cst.Name) and part.value:
        return [(part.target.value, part.value)]
    if isinstance(part, cst.Assign):
        names = [each.target for each in part.targets]
        return [(each.value, part.value) for each in names if isinstance(each, cst.Name)]
    return []


def literal(node: cst.BaseExpression, names: Mapping[str, Any]) -> Any:
    """The value of an expression made of literals and known names.

    Raises:
        NotLiteral: it needs running code.
    """
    if isinstance(node, cst.SimpleString | cst.ConcatenatedString):
        value = node.evaluated_value
        if isinstance(value, str):
            return value
    if isinstance(node, cst.Name):
        if node.value in ("True", "False", "None"):
            return {"True": True, "False": False, "None": None}[node.value]
        if node.value in names:
            return names[node.value]
    if isinstance(node, cst.Integer | cst.Float):
        return node.evaluated_value
    if isinstance(node, cst.List | cst.Tuple | cst.Set):
        return [
            item
            for each in node.elements
            for item in (
                literal(each.value, names)
                if isinstance(each, cst.StarredElement)
                else [literal(each.value, names)]
            )
        ]
    if isinstance(node, cst.Dict):
        return _dict(node, names)
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == "dict":
        return {
            argument.keyword.value if argument.keyword else "": literal(argument.value, names)
            for argument in node.args
        }
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        left, right = literal(node.left, names), literal(node.right, names)
        if type(left) is type(right) and isinstance(left, str | list):
            return left + right
    if isinstance(node, cst.Subscript) and len(node.slice) == 1:
        index = node.slice[0].slice
        if isinstance(index, cst.Index):
            try:
                return literal(node.value, names)[literal(index.value, names)]
            except (KeyError, IndexError, TypeError):
                pass
    raise NotLiteral


def _dict(node: cst.Dict, names: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in node.elements:
        if isinstance(each, cst.StarredDictElement):
            found.update(literal(each.value, names))
        elif isinstance(each, cst.DictElement):
            found[literal(each.key, names)] = literal(each.value, names)
    return found


def parse(text: str | bytes) -> cst.Module | None:
    """Parse a module; None if it isn't valid Python."""
    try:
        return cst.parse_module(text)
    except (cst.ParserSyntaxError, UnicodeDecodeError, RecursionError):
        return None


def source_of(node: cst.CSTNode) -> str:
    """The code of a node, on one line."""
    return " ".join(cst.Module([]).code_for_node(node).split())
