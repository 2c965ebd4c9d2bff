"""The classes that the model predicts, their codes in a map, and their colours."""

from collections.abc import Iterable
from typing import Any

# name -> (code in a class raster, colour). Code 0 means "no data".
Classes = dict[str, tuple[int, tuple[int, int, int]]]
NODATA = 0

CLASSES: Classes = {
    "Urban": (1, (201, 94, 72)),
    "Vegetation": (2, (74, 138, 82)),
    "Water": (3, (52, 112, 178)),
}

# For other classes, which labels of your own may name. Told apart by colour-blind people, too:
# Okabe and Ito (2008), Color Universal Design.
OTHER_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 120),
)


def classes_of(names: Iterable[str]) -> Classes:
    """The code and colour of each class: as above, or the next free ones."""
    wanted = sorted(set(names))
    found = {name: CLASSES[name] for name in wanted if name in CLASSES}
    others = [name for name in wanted if name not in CLASSES]
    first = max((code for code, _ in CLASSES.values()), default=0) + 1
    for index, name in enumerate(others):
        found[name] = (first + index, OTHER_COLOURS[index % len(OTHER_COLOURS)])
    return found


def classes_in(model: Any) -> Classes:
    """The classes that a loaded MLflow model predicts, as its metadata says."""
    known = (model.metadata.metadata or {}).get("classes")
    if known is None:
        return CLASSES
    return {name: (int(code), tuple(colour)) for name, (code, colour) in known.items()}
