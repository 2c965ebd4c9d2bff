"""The classes that the model predicts, their codes in a map, and their colours."""

# name -> (code in a class raster, colour). Code 0 means "no data".
CLASSES: dict[str, tuple[int, tuple[int, int, int]]] = {
    "Urban": (1, (201, 94, 72)),
    "Vegetation": (2, (74, 138, 82)),
    "Water": (3, (52, 112, 178)),
}
NODATA = 0
