"""How columns go together: what a look at each column alone doesn't see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gaiaflow.monitoring.measures import Numbers

_ROWS = 10  # at least, for each column
_LEAST = 1e-6  # share of a column's variance; below, a component is rounding


@dataclass(frozen=True)
class Relations:
    """The principal components of standardized columns.

    If bands are swapped, or one of them gets an offset, each distribution may change little. Bands
    are correlated, so what they have in common dominates. The last components are what is left
    without that, and there such a change is large (Kuncheva and Faithfull 2014, IEEE Trans. Neural
    Netw. Learn. Syst. 25: 69-80; Qahtan et al. 2015, KDD). They take as many tests as there are
    columns; pairs would take many more.

    Attributes:
        columns: their names, n of them.
        center, scale: mean and standard deviation of each, shape (n,).
        weights: shape (n, components); components have a variance of 1.
    """

    columns: tuple[str, ...]
    center: Numbers
    scale: Numbers
    weights: Numbers

    @classmethod
    def of(cls, table: pd.DataFrame) -> Relations | None:
        """The components of a table, of its complete rows; None if it has too little."""
        known = table.dropna()
        known = known.loc[:, known.std() > 0]
        if known.shape[1] < 2 or len(known) < _ROWS * known.shape[1]:
            return None
        values = known.to_numpy(float)
        variances, vectors = np.linalg.eigh(np.corrcoef(values, rowvar=False))
        kept = variances > _LEAST
        vectors = vectors[:, kept] / np.sqrt(variances[kept])
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
        return cls(
            tuple(str(name) for name in known.columns),
            values.mean(axis=0),
            values.std(axis=0),
            (vectors * np.sign(largest))[:, ::-1],
        )

    @property
    def names(self) -> list[str]:
        """What each component is: the columns that count most in it, such as "B03 - B02"."""
        found = []
        for weights in self.weights.T:
            size = np.abs(weights)
            strong = [index for index in np.argsort(-size) if size[index] > size.max() / 2]
            terms = (f"{'-' if weights[i] < 0 else '+'} {self.columns[i]}" for i in strong)
            found.append(" ".join(terms).removeprefix("+ "))
        return found

    def values(self, table: pd.DataFrame) -> Numbers:
        """The components of complete rows, shape (rows, components)."""
        known = table[list(self.columns)].dropna().to_numpy(float)
        return np.asarray((known - self.center) / self.scale @ self.weights)
