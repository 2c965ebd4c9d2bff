"""Divide a raster into windows that fit into memory, along the blocks of its file."""

from __future__ import annotations

from collections.abc import Iterator

from rasterio.windows import Window

BLOCK = 512  # pixels: the blocks of files that we write
PIXELS = 1 << 20  # in a window


def windows_of(
    rows: int, columns: int, block: tuple[int, int] = (BLOCK, BLOCK), pixels: int = PIXELS
) -> Iterator[Window]:
    """Windows that cover a raster from top to bottom, and lie on whole blocks of its file.

    Args:
        block: rows and columns of a block.
        pixels: the size that windows should have; they are larger if blocks are.
    """
    height, width = _shape(rows, columns, block, pixels)
    for row in range(0, rows, height):
        for column in range(0, columns, width):
            yield Window(column, row, min(width, columns - column), min(height, rows - row))


def _shape(rows: int, columns: int, block: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Rows and columns of a window."""
    block_rows, block_columns = min(block[0], rows), min(block[1], columns)
    if block_columns == columns:  # strips: one window after the other, never a part of a strip
        return max(block_rows, pixels // columns // block_rows * block_rows), columns
    side = int(pixels**0.5)
    return (
        max(block_rows, side // block_rows * block_rows),
        max(block_columns, side // block_columns * block_columns),
    )


def grown(window: Window, overlap: int, rows: int, columns: int) -> tuple[Window, tuple[int, int]]:
    """A window with at least so many more pixels on each side, as far as the raster goes.

    Its first row and column are multiples of the overlap. So a network that halves images sees the
    same halves in every window, if the overlap is a multiple of what it divides by.

    Returns:
        The larger window, and the row and column where the original begins in it.
    """
    step = max(overlap, 1)
    top = max(window.row_off - overlap, 0) // step * step
    left = max(window.col_off - overlap, 0) // step * step
    bottom = min(window.row_off + window.height + overlap, rows)
    right = min(window.col_off + window.width + overlap, columns)
    larger = Window(left, top, right - left, bottom - top)
    return larger, (window.row_off - top, window.col_off - left)
