"""Which versions a constraint allows, as far as adoption needs to know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

LOWEST, HIGHEST = (3, 10), (3, 13)  # of Python, for the project's environment
_RELEASES = {
    minor: [Version(f"3.{minor}.{patch}") for patch in range(25)] for minor in range(8, 16)
}


def specifier(text: str) -> SpecifierSet | None:
    """Translate a constraint of pip, conda or pixi to pip; None if impossible."""
    parts = []
    for part in text.split(","):
        number = re.fullmatch(r"=?\s*(\d[\w.]*?)(\.\*)?(=[^=]*)?", part.strip())
        parts.append(f"=={number[1]}.*" if number else "" if part.strip() == "*" else part.strip())
    try:
        return SpecifierSet(",".join(filter(None, parts)))
    except InvalidSpecifier:
        return None


def minors(allowed: SpecifierSet) -> list[int]:
    """The 3.x that a Python constraint allows, in all or some of its releases."""
    return [
        minor
        for minor, releases in _RELEASES.items()
        if any(allowed.contains(each) for each in releases)
    ]


def python_fits(text: str) -> bool:
    """Whether a Python constraint allows a version that the framework supports."""
    allowed = specifier(text)
    return allowed is not None and any(LOWEST[1] <= each <= HIGHEST[1] for each in minors(allowed))


def requires_python(wanted: str, template: str) -> tuple[str, list[str]]:
    """The project's `requires-python` within the template's, and notes on changes."""
    allowed = specifier(wanted)
    if allowed is None or not python_fits(wanted):
        return template, [f"requires-python {wanted!r} was replaced: Gaiaflow needs {template}"]
    found = minors(allowed)
    low, high = (f">={_dotted(LOWEST)}", f"<3.{HIGHEST[1] + 1}")
    parts: list[str] = []
    dropped: list[str] = []
    for each in (part.strip() for part in wanted.split(",") if part.strip()):
        alone = minors(SpecifierSet(each))
        outside = each.startswith((">", "<")) and {*range(LOWEST[1], HIGHEST[1] + 1)} <= {*alone}
        (dropped if outside and f"{each}".replace(" ", "") not in (low, high) else parts).append(
            each
        )
    if min(found) < LOWEST[1] and low not in parts:
        parts.insert(0, low)
    if max(found) > HIGHEST[1] and high not in parts:
        parts.append(high)
    parts = [each for each in parts if each] or template.split(",")
    made = ",".join(part.replace(" ", "") for part in parts)
    return made, [f"requires-python {wanted!r} became {made!r}"] if dropped else []


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def overlap(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether a version is likely to satisfy both: one that they name, or the next one."""
    return any(
        one.contains(each, prereleases=True) and other.contains(each, prereleases=True)
        for each in [*_named(one), *_named(other)]
    ) or not (len(one) and len(other))


def _named(constraint: SpecifierSet) -> Iterator[str]:
    for each in constraint:
        version = each.version.removesuffix(".*")
        yield from (version, f"{version}.1")
        if each.operator == "<":
            *first, last = re.split(r"(?<=\.)", re.match(r"[\d.]+", version)[0])  # type: ignore[index]
            if last.isdigit() and int(last) and first:
                yield f"{''.join(first)}{int(last) - 1}.9999"
