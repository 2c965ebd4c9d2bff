"""Score requests with MLflow's own code for its protocol, and explain what is wrong with a request.

The protocol: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_CSV, SUPPORTED_FORMATS, invocations
from mlflow.types import DataType

from gaiaflow.serving.joining import Predictor

logger = logging.getLogger("gaiaflow.serving")

_invocations: Any = invocations  # which has no type hints
_FORMATS = ", ".join(sorted(SUPPORTED_FORMATS))


@dataclass(frozen=True)
class Scored:
    """The answer to a request, and what goes into the request log.

    Args:
        status: HTTP's.
        content: the body of a successful answer, or what is wrong.
        inputs: the parsed inputs, a table of one row per prediction or an array; None if invalid.
        predictions: what the model returned.
    """

    status: int
    content: str
    inputs: Any = None
    predictions: Any = None


class Scorer:
    """Scores requests with one loaded model; safe to call from several threads."""

    def __init__(self, model: PyFuncModel) -> None:
        self._metadata = model.metadata
        signature = model.metadata.signature
        self._predictor = Predictor(model)
        self._schema: Any = signature.inputs if signature else None

    @property
    def joins(self) -> bool:
        """Whether the model predicts for several requests at once."""
        return self._predictor.joins

    def score(self, body: bytes, content_type: str, identifier: str = "") -> Scored:
        """Score the body of one request; its identifier is for the log."""
        model = _Observed(self._metadata, self._predictor, self._schema)
        try:
            answer = _invocations(body, content_type, model, self._schema)
        except MlflowException as error:
            if model.problem:
                return Scored(400, model.problem)
            if model.failure is None:
                return Scored(400, self._explain(error, body, content_type))
            if missing := _missing_values(model.inputs):
                return Scored(400, f"The model can't handle missing values, as in {missing}.")
            logger.error("request %s: the model failed", identifier, exc_info=model.failure)
            return Scored(500, "The model failed. The server's log has the details.")
        if answer.status != 200:
            return Scored(answer.status, answer.response)
        return Scored(200, answer.response, model.inputs, model.predictions)

    def _explain(self, error: MlflowException, body: bytes, content_type: str) -> str:
        """MLflow's message without the request's data, which it repeats."""
        message = str(error.message)
        if "exactly one of the input fields" in message:
            return f"The input must be a JSON object with exactly one of the fields {_FORMATS}."
        if content_type.startswith(CONTENT_TYPE_CSV) and (column := self._culprit(body)):
            return column
        message = message.partition("\nInput:")[0]
        return message.rpartition("'. Error: ")[2] if "enforce schema" in message else message

    def _culprit(self, body: bytes) -> str:
        """The column of a CSV file whose values have the wrong type, which pandas does not name."""
        if self._schema is None or not self._schema.has_input_names():
            return ""
        try:
            table = pd.read_csv(io.BytesIO(body), dtype=str)
        except ValueError:
            return ""
        for column in self._schema:
            if column.name in table and _is_number(column):
                wrong = pd.to_numeric(table[column.name], errors="coerce").isna()
                wrong &= table[column.name].notna()
                if wrong.any():
                    value = table[column.name][wrong].iloc[0]
                    return f"Column {_named(column)} has the value {value!r}."
        return ""


class _Observed:
    """A model for one request, which remembers what went in and what came out."""

    def __init__(self, metadata: Any, predictor: Predictor, schema: Any) -> None:
        self.metadata = metadata
        self.inputs: Any = None
        self.predictions: Any = None
        self.problem = ""  # of the inputs
        self.failure: Exception | None = None
        self._predictor = predictor
        self._schema = schema

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        self.problem = self._problem(data)
        if self.problem:
            raise MlflowException.invalid_parameter_value(self.problem)
        self.inputs = data
        try:
            self.predictions = self._predictor.predict(data, params)
        except MlflowException:
            raise
        except Exception as error:
            self.failure = error
            raise
        return self.predictions

    def _problem(self, data: Any) -> str:
        """Which columns are missing, with their types: MLflow names no types."""
        if len(data) == 0:
            return "The request has no rows."
        if self._schema is None or not self._schema.has_input_names():
            return ""
        given = getattr(data, "columns", data if isinstance(data, dict) else ())
        lacking = [
            _named(column)
            for column in self._schema
            if column.required and column.name not in given
        ]
        what = "column" if len(lacking) == 1 else "columns"
        return f"The input lacks the {what} {', '.join(lacking)}." if lacking else ""


def _named(column: Any) -> str:
    """A column of a signature with its type, such as "B08 (double)"."""
    return f"{column.name} ({getattr(column.type, 'name', column.type)})"


def _is_number(column: Any) -> bool:
    return isinstance(column.type, DataType) and column.type.to_numpy().kind in "fiu"


def _missing_values(inputs: Any) -> str:
    """The first missing value of a table, such as "column B08, row 3"; empty if there is none."""
    if not isinstance(inputs, pd.DataFrame):
        return ""
    for name in inputs.columns:
        lacking = inputs[name].isna().to_numpy()
        if lacking.any():
            return f"column {name}, row {int(lacking.argmax())}"
    return ""
