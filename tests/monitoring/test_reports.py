"""The profile travels with the model, and the report stands by itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import mlflow
import numpy as np
import pytest

from gaiaflow.monitoring import (
    Profile,
    compare,
    judged,
    load_profile,
    log_report,
    report,
    store_profile,
)

from .conftest import Window


def logged(model: Any) -> str:
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model, name="model", pip_requirements=[], serialization_format="skops"
        )
    return str(info.model_uri)


@pytest.mark.usefixtures("tracking")
def test_a_profile_is_registered_and_copied_with_its_model(model: Any, profile: Profile) -> None:
    uri = logged(model)
    mlflow.register_model(uri, "landcover")
    with pytest.raises(LookupError, match=r"models:/landcover/1 has no reference profile"):
        load_profile("models:/landcover/1")
    store_profile(profile, uri)
    client = mlflow.MlflowClient()
    client.copy_model_version("models:/landcover/1", "production")
    client.set_registered_model_alias("production", "champion", "1")
    store_profile(Profile.of(profile.sample.head(300)), "models:/landcover/1")
    assert load_profile("models:/landcover/1").rows == 300
    store_profile(profile, "models:/production@champion")
    for name in ("models:/landcover/1", "models:/production@champion"):
        assert load_profile(name).columns == profile.columns
    predicts = mlflow.pyfunc.load_model("models:/landcover/1")
    assert len(predicts.predict(profile.sample[["B02", "B03", "B04", "B08"]])) == profile.rows


class Page(HTMLParser):
    """The tags of a page; each must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_needs_nothing_else(profile: Profile, window: Window) -> None:
    odd = window(3).assign(prediction="<Snow> & ice", confidence=np.nan)
    served = compare(profile, odd, name="served").adding(
        [judged("<requests>", "p95_ms", 812, (500, 2000))]
    )
    few = compare(profile, window(4, 10), name="mapped")
    text = report([served, few], "Watching <fields>", {"Requests": 7})
    page = Page(text)
    links = [value for name, value in page.attributes if name in ("src", "href", "action")]
    assert links and all(str(link).startswith("data:image/png;base64,") for link in links)
    assert "<script" not in text and "url(" not in text and "@import" not in text
    shown = re.sub(r"<[^>]*>", " ", text)
    assert re.search(r"Watching &lt;fields&gt;\s+✕ drift", shown)
    assert re.search(r"slowest 5 % \(ms\)\s+812\s+500, 2000\s+! warning", shown)
    assert "&lt;requests&gt;" in shown
    assert "Too few rows for a judgement: 10" in shown
    assert shown.index("confidence") < shown.index("B02 ")  # what has changed comes first


def test_nothing_to_compare_is_said() -> None:
    assert "There was nothing to compare." in report([], "Watching")


@pytest.mark.usefixtures("tracking")
def test_a_report_goes_to_mlflow(profile: Profile, window: Window) -> None:
    comparison = compare(profile, window(3), name="mapped")
    run_id = log_report([comparison], model="landcover", version="3")
    [run] = mlflow.search_runs(
        filter_string="tags.model = 'landcover' and tags.model_version = '3'", output_format="list"
    )
    assert (run.info.run_id, run.data.tags["verdict"]) == (run_id, "ok")
    assert run.data.metrics == pytest.approx({**comparison.metrics, "verdict": 0})
    assert "Nothing has changed" in mlflow.artifacts.load_text(f"runs:/{run_id}/report.html")
