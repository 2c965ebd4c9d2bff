"""Change me: read your own data."""

from typing import Any

import numpy as np
import pandas as pd

from ..utils import s3


def load(samples: int = 60) -> dict[str, Any]:
    """Make up some reflectances (0..1) and store them as a table.

    The arguments and the result of a task's function are JSON: numbers, text, lists, dicts. Put
    anything bigger into the object store, and return its key.
    """
    # Change: read files from data/, a STAC catalogue, a database ...
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "red": np.concatenate(
                [random.uniform(0.02, 0.08, samples), random.uniform(0.15, 0.3, samples)]
            ),
            "nir": np.concatenate(
                [random.uniform(0.3, 0.5, samples), random.uniform(0.2, 0.35, samples)]
            ),
            "class": ["plants"] * samples + ["soil"] * samples,
        }
    )
    prefix = s3.new_prefix("change_me")
    return {"table": s3.put_table(f"{prefix}/table.csv", table)}
