"""Change me: turn the predictions into something useful."""

from typing import Any

from ..utils import s3


def summarize(predictions: str) -> dict[str, Any]:
    """The share of each predicted class."""
    # Change: write a map, a picture or a report.
    shares = s3.get_table(predictions)["predicted"].value_counts(normalize=True)
    return {"shares": {str(name): round(float(share), 3) for name, share in shares.items()}}
