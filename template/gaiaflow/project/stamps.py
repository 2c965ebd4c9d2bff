"""Record the state of the files that a product was built from, to know when it is outdated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stamp:
    """A small file that is written last: without it, the product counts as unfinished."""

    path: Path
    product: Path
    sources: Sequence[Path]

    def is_fresh(self) -> bool:
        """Whether the product exists and was built from the current sources."""
        try:
            return self.product.exists() and self.path.read_text(encoding="ascii") == self._digest()
        except (OSError, UnicodeDecodeError):
            return False

    def write(self) -> None:
        """Mark the product as finished."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._digest(), encoding="ascii")

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for source in self.sources:
            # Ignore CRLF: line ends converted by git are no reason to rebuild.
            data = source.read_bytes().replace(b"\r\n", b"\n") if source.exists() else b"missing"
            digest.update(data)
        return digest.hexdigest()
