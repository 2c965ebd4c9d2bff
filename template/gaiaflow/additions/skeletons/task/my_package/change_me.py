"""Change me: one step of a pipeline."""

from typing import Any


def change_me(red: float = 0.05, nir: float = 0.45) -> dict[str, Any]:
    """The NDVI of a pixel with these reflectances (0..1).

    The arguments and the result of a task's function are JSON: numbers, text, lists, dicts. Put
    anything bigger into the object store, and return its key.
    """
    # Change: do your own work here.
    return {"ndvi": round((nir - red) / (nir + red), 3)}
