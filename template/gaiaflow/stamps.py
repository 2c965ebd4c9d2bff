"""Remember from which state of some files a product was made, to know when it is due again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stamp:
    """A small file that is written last: what was cut off before it counts as not made."""

    path: Path
    product: Path
    sources: Sequence[Path]

    def is_fresh(self) -> bool:
        """Whether the product is there and was made from the sources as they are now."""
        try:
            return self.product.exists() and self.path.read_text(encoding="ascii") == self._digest()
        except (OSError, UnicodeDecodeError):
            return False

    def write(self) -> None:
        """Declare the product made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self._digest(), encoding="ascii")

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for source in self.sources:
            # Without CRLF: line ends that git has converted are not a reason to make it again.
            data = source.read_bytes().replace(b"\r\n", b"\n") if source.exists() else b"missing"
            digest.update(data)
        return digest.hexdigest()
