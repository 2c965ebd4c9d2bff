"""The report: one HTML file that needs nothing else, and a run in MLflow."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import mlflow

from gaiaflow.monitoring.comparing import Comparison, verdict_of
from gaiaflow.monitoring.findings import LEVELS, Finding
from gaiaflow.monitoring.pictures import REFERENCE, WINDOW, distributions, shares

FILE = "report.html"

# Shape, colour and words: each tells the level by itself.
_BADGES = {"ok": ("✓", "#00664b"), "warning": ("!", "#8a5a00"), "drift": ("✕", "#a33c00")}
_MEANINGS = {
    "ok": "Nothing has changed that matters.",
    "warning": "Something has changed. Look at the pictures before you trust new results.",
    "drift": "The data differs much from what the model was accepted on.",
}
_MEASURES = {
    "psi": "PSI",
    "ks": "KS distance",
    "missing": "more missing values",
    "outside": "values out of range",
    "count": "number",
    "failed": "share that failed",
    "median_ms": "median time (ms)",
    "p95_ms": "time of the slowest 5 % (ms)",
    "labelled": "rows whose truth is known",
    "loss": "loss of accuracy",
}
_STYLE = f"""
body {{ font: 16px/1.5 system-ui, sans-serif; color: #2b2b2b; max-width: 66rem; margin: 2rem auto;
  padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd; }}
dl {{ display: grid; grid-template-columns: max-content auto; gap: 0 1rem; }} dd {{ margin: 0; }}
.badge {{ color: white; border-radius: .25rem; padding: .1rem .6rem; white-space: nowrap; }}
.swatch {{ display: inline-block; width: 1.6em; height: .8em; }}
.reference {{ background: {REFERENCE}; }}
.window {{ border: 2px solid {WINDOW}; border-bottom: 0; }}
img {{ max-width: 100%; height: auto; }} .quiet {{ color: #595959; }}
"""


def report(
    comparisons: Sequence[Comparison], title: str, facts: Mapping[str, Any] | None = None
) -> str:
    """A page of HTML: the verdict, and for each comparison its pictures and numbers.

    It loads nothing from anywhere and has no scripts.

    Args:
        facts: what else to say at the top, such as the time that was looked at.
    """
    verdict = verdict_of(comparisons)
    lines = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in (facts or {}).items()
    )
    parts = "".join(_section(comparison) for comparison in comparisons)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{_badge(verdict)} {_MEANINGS[verdict]}</p><dl>{lines}</dl>"
        f"{parts or '<p>There was nothing to compare.</p>'}</body></html>\n"
    )


def log_report(
    comparisons: Sequence[Comparison],
    *,
    model: str,
    version: str,
    facts: Mapping[str, Any] | None = None,
) -> str:
    """Log the metrics and the report to a new run of the active experiment.

    The run is tagged with `model`, `model_version` and `verdict`, so runs can be searched by them.

    Args:
        model: name of the registered model.
        version: of the model.
        facts: see `report`.

    Returns:
        The id of the run.
    """
    verdict = verdict_of(comparisons)
    tags = {"pipeline": "monitor", "model": model, "model_version": version, "verdict": verdict}
    with mlflow.start_run(run_name=f"{model} v{version}: {verdict}", tags=tags) as run:
        for comparison in comparisons:
            mlflow.log_metrics(comparison.metrics)
        mlflow.log_metric("verdict", LEVELS.index(verdict))
        mlflow.log_text(report(comparisons, f"Watching {model}, version {version}", facts), FILE)
    return str(run.info.run_id)


def _section(comparison: Comparison) -> str:
    name, verdict = escape(comparison.name), comparison.verdict
    notes = "".join(f"<p>{escape(note)}</p>" for note in comparison.notes)
    worst = sorted(
        comparison.findings, key=lambda found: (-LEVELS.index(found.level), found.steps is None)
    )
    rows = "".join(_row(found) for found in worst)
    pictures = _picture(distributions(comparison), f"Distributions, reference and {name}")
    pictures += _picture(shares(comparison), f"Shares of classes, reference and {name}")
    legend = (
        f'<p><span class="swatch reference"></span> reference '
        f'<span class="swatch window"></span> {name}</p>'
    )
    return (
        f"<h2>{name.capitalize()}: {_badge(verdict)}</h2>{notes}"
        f"{legend + pictures if pictures else ''}"
        "<table><thead><tr><th>Of</th><th>Measure</th><th>Value</th><th>Warning, drift from</th>"
        f"<th>p</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="quiet">{comparison.rows} rows. p is corrected for the number of tests; a '
        "change counts if it is large and significant.</p>"
    )


def _row(found: Finding) -> str:
    steps = f"{found.steps[0]:g}, {found.steps[1]:g}" if found.steps else ""
    p = "" if found.p is None else f"{found.p:.2g}"
    badge = _badge(found.level) if found.steps else ""
    cells = (
        found.title,
        _MEASURES.get(found.measure, found.measure),
        f"{found.value:.4g}",
        steps,
        p,
    )
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}<td>{badge}</td></tr>"


def _badge(level: str) -> str:
    sign, colour = _BADGES[level]
    return f'<span class="badge" style="background: {colour}">{sign} {level}</span>'


def _picture(figure: Any, text: str) -> str:
    if figure is None:
        return ""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<p><img alt="{text}" src="data:image/png;base64,{encoded}"></p>'
