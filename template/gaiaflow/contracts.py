"""Data contracts: a pandera schema says what a table must be like; this says how one breaks it.

A contract is the project's, such as `PACKAGE/preprocess/contracts.py`. The same one holds in a run
and in CI.
"""

from __future__ import annotations

import pandas as pd
from pandera.errors import SchemaErrors
from pandera.pandas import DataFrameSchema

__all__ = ["violations"]

_GAPS = "not_nullable"  # what pandera calls it


def violations(table: pd.DataFrame, contract: DataFrameSchema, name: str) -> list[str]:
    """How a table breaks a contract: a sentence for each column and check; empty if it doesn't.

    Args:
        table: the data.
        contract: what they must be like. The sentences use the `error` of its checks.
        name: what the table is called in the sentences.
    """
    try:
        contract.validate(table, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
    else:
        return []
    lacking = cases["check"] == "column_in_dataframe"
    sentences = []
    if lacking.any():
        sentences.append(f"no column {', '.join(map(str, cases['failure_case'][lacking]))}")
    grouped = cases[~lacking].fillna({"column": "a row"}).groupby(["column", "check"], sort=False)
    for (column, check), group in grouped:
        what = f"{column} {_text(str(check))}"
        where = group["index"].dropna()
        if where.empty:  # a check of the column as a whole
            sentences.append(f"{what}: {group['failure_case'].iloc[0]}")
            continue
        row = where.index[0]
        value = "" if check == _GAPS else f"{cases['failure_case'][row]} in "
        sentences.append(
            f"{what} in {len(where)} of {len(table)} rows, such as {value}row {where[row]}"
        )
    return [f"{name}: {sentence}" for sentence in sentences]


def _text(check: str) -> str:
    if check == _GAPS:
        return "has gaps (NaN)"
    return f"breaks {check}" if check.endswith(")") else check  # pandera's name, or our own text
