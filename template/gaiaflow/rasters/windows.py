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
    """A window with more pixels on each side, as far as the raster goes.

    Returns:
        The larger window, and the row and column where the original begins in it.
    """
    top, left = max(window.row_off - overlap, 0), max(window.col_off - overlap, 0)
    bottom = min(window.row_off + window.height + overlap, rows)
    right = min(window.col_off + window.width + overlap, columns)
    larger = Window(left, top, right - left, bottom - top)
    return larger, (window.row_off - top, window.col_off - left)
