"""Assets that a task updates only if its result says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context


def outlets(updates: Iterable[tuple[str, Asset]]) -> list[AssetAlias]:
    """The outlets of the task: Airflow updates what an alias stands for only on request."""
    return [AssetAlias(asset.name) for _, asset in updates]


def update(
    updates: Iterable[tuple[str, Asset]], result: Any, context: Context, function: str
) -> None:
    """Update each asset whose entry of the result is true, once the task has succeeded.

    The event has the asset's own `extra`, and the texts, numbers and truths of the result.

    Raises:
        AirflowFailException: an entry is missing, or neither true nor false.
    """
    for entry, asset in updates:
        value = result.get(entry) if isinstance(result, dict) else None
        if not isinstance(value, bool):
            raise AirflowFailException(
                f"{entry!r} in the result of {function} says whether to update the asset "
                f"{asset.name!r}, so it must be true or false, not {value!r}."
            )
        if value:
            facts = {name: v for name, v in result.items() if isinstance(v, (str, int, float))}
            events = context["outlet_events"][AssetAlias(asset.name)]
            events.add(asset, extra={**asset.extra, **facts})
