"""Second stage of `segmentation`: which parts of the scene to learn from, and which to test on."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rasterio.windows import Window

from gaiaflow.rasters import LazyRaster, open_raster

from ..dataloader.masks import named, names_of_codes
from ..model.classes import Classes
from ..utils import s3
from .features import SEED

HELD_OUT = 3  # every third chip

Pixels = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]


def chips(scene: str, mask: str, size: int = 64) -> dict[str, Any]:
    """Divide the scene and the mask stored under these keys into chips.

    Args:
        size: pixels of a chip's side.

    Returns:
        The S3 key `chips` of a table, and how many there are to `train` and to `test` with.

    Raises:
        ValueError: there are too few to hold some out.
    """
    with open_raster(s3.uri(mask)) as raster:
        table = split_chips(find_chips(raster, size))
    key = s3.put_table(s3.beside(scene, "chips.parquet"), table)
    return {"chips": key, **table["split"].value_counts().to_dict()}


def find_chips(mask: LazyRaster, size: int) -> pd.DataFrame:
    """The chips that have labels: `row`, `column`, `size`, and how many pixels of each code."""
    rows = []
    for row in range(0, mask.grid.rows - size + 1, size):
        for column in range(0, mask.grid.columns - size + 1, size):
            codes = mask.read(Window(column, row, size, size)).values
            found, counts = np.unique(codes[np.isfinite(codes)].astype(int), return_counts=True)
            if len(found):
                there = {f"code_{code}": n for code, n in zip(found, counts, strict=True)}
                rows.append({"row": row, "column": column, "size": size, **there})
    return pd.DataFrame(rows).fillna(0).astype(int)


def split_chips(table: pd.DataFrame) -> pd.DataFrame:
    """Hold out chips, so that each class is in both parts. Always the same ones.

    Raises:
        ValueError: that isn't possible.
    """
    codes = columns_of_codes(table)
    rare_first = sorted(codes, key=lambda name: int((table[name] > 0).sum()))
    for seed in range(SEED, SEED + 10 if codes else SEED):
        mixed = table.sample(frac=1, random_state=seed)
        rarest = (mixed[rare_first] > 0).idxmax(axis=1)
        number = mixed.groupby(rarest).cumcount() % HELD_OUT
        split = pd.Series(np.where(number == 1, "test", "train"), mixed.index, name="split")
        there = (mixed[codes] > 0).groupby(split).any()
        if len(there) == 2 and there.to_numpy().all():
            return mixed.assign(split=split).sort_index()
    few = [name.removeprefix("code_") for name in rare_first if (table[name] > 0).sum() < 2]
    raise ValueError(
        f"The scene has too few chips with labels ({len(table)}) to hold some out"
        + (f": code {', '.join(few)} is in one only" if few else "")
        + ". Label more of it, or make the chips smaller (chip_size)."
    )


def columns_of_codes(table: pd.DataFrame) -> list[str]:
    """The columns with the number of pixels of a code."""
    return [str(name) for name in table if str(name).startswith("code_")]


def classes_of_chips(table: pd.DataFrame, mask: LazyRaster) -> Classes:
    """The classes that chips have, in the order of their codes."""
    names = names_of_codes(mask)
    codes = [int(name.removeprefix("code_")) for name in columns_of_codes(table)]
    return named({code: names[code] for code in codes})


class Chips:
    """The pixels of chips, read when they are needed: a scene may be larger than memory.

    Each item is a pair: the reflectance of a chip, float32 of shape (bands, size, size), NaN where
    there is no data; and its classes, int64 of shape (size, size): the places of their codes in
    `codes`, or -1 where nothing is labelled. Threads may share it.
    """

    def __init__(
        self, table: pd.DataFrame, scene: LazyRaster, mask: LazyRaster, codes: Sequence[int]
    ) -> None:
        self._windows = [
            Window(column, row, size, size)
            for row, column, size in table[["row", "column", "size"]].itertuples(index=False)
        ]
        self._scene, self._mask = scene, mask
        self._codes = np.array(codes)

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[tuple[Pixels, Places]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> tuple[Pixels, Places]:
        window = self._windows[number]
        codes = self._mask.read(window).values[0]
        is_class = codes[np.newaxis] == self._codes[:, np.newaxis, np.newaxis]
        places = np.where(is_class.any(axis=0), is_class.argmax(axis=0), -1)
        return self._scene.read(window).values, places.astype(np.int64)


@contextmanager
def open_copies(scene: str, mask: str) -> Iterator[tuple[LazyRaster, LazyRaster]]:
    """A scene and its mask, copied from the store once: every epoch reads them again."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        files = []
        for key in (scene, mask):
            file = str(Path(folder, Path(key).name))
            s3.client().download_file(s3.bucket(), key, file)
            files.append(stack.enter_context(open_raster(file)))
        yield files[0], files[1]
