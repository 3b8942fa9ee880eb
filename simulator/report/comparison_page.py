"""The page of a comparison: one file, no network, in the style of a run's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np

from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.number_format import MINUS, number_of, p_value, percent, ratio, whole
from simulator.report import comparison, figures, layout
from simulator.report.charts import Chart, Key, spell
from simulator.report.figures import Floats, Frame

CURVES = ("strategy", "hold", "equal", "fourth", "fifth", "sixth", "seventh", "eighth")
"""CSS classes of the curves of A, B …"""

BASE = 100.0


class Held(Protocol):
    """What the figures need of a run: its label and its returns (T,) and risk-free returns (T,) on given sessions."""

    @property
    def label(self) -> str: ...

    @property
    def run(self) -> Mapping[str, Any]: ...

    def on(self, days: Sequence[date]) -> tuple[Floats, Floats]: ...


def render_comparison(facts: Mapping[str, Any], held: Sequence[Held], days: Sequence[date]) -> bytes:
    """The page as UTF-8 HTML; the same bytes for the same facts. `days` are the sessions all runs have."""
    said = comparison.say(facts)
    curves: list[Curve] = [(css, one, _grown(one, days)) for css, one in zip(CURVES, held, strict=False)]
    drawn = len(days) > 1
    names = list(dict.fromkeys(str(run["strategy"]) for run in facts["runs"]))
    content = {
        "facts": facts,
        "names": names,
        "title": f"Comparison: {' and '.join(names)}",
        "said": said,
        "classes": CURVES,
        "interval": _interval(facts, said.headline),
        "equity": _equity(curves, days) if drawn else None,
        "relative": _relative(curves, days, facts) if drawn and len(held) == 2 else None,
        "wide_ticks": figures.session_ticks(days, 13) if drawn else (),
        "narrow_ticks": figures.session_ticks(days, 5) if drawn else (),
        "metric_groups": comparison.metric_groups(facts),
        "metrics_note": comparison.metrics_note(facts),
        "pair_columns": comparison.PAIR_COLUMNS,
        "pairs": comparison.pair_lines(facts),
        "configuration": comparison.configuration_lines(facts),
        "statistics": _statistics(facts),
    }
    return layout.template("comparison.html", "comparison.css").render(**content).encode()


Curve = tuple[str, Held, Floats]


def _grown(one: Held, days: Sequence[date]) -> Floats:
    return np.asarray(np.cumprod(1.0 + one.on(days)[0]), dtype=np.float64)


def _equity(curves: Sequence[Curve], days: Sequence[date]) -> Chart:
    """Every account from 100 at the first common session, on a log axis; on a linear one where one reaches zero."""
    values = [np.array([BASE]), *(BASE * grown for _, _, grown in curves)]
    log = min(float(v.min()) for v in values) > 0.0
    low, high = figures.bounds(values, log)
    steps = figures.log_steps(low, high, 6) if log else figures.steps(low, high, 6)
    frame = Frame(-1, len(days) - 1, low, high, 320, log)
    layers = [figures.line(css, BASE * grown, start=BASE) for css, _, grown in reversed(curves)]
    keys = tuple(Key(css, one.label, percent(float(grown[-1]) - 1.0, sign=True)) for css, one, grown in curves)
    spoken = f"Equity from {BASE:.0f}, {_span(days)}: " + "; ".join(f"{key.label} {key.value}" for key in keys) + "."
    ticks = [(v, f"{MINUS if v < 0 else ''}{abs(v):g}") for v in steps]
    return Chart(figures.draw(layers, frame, ticks), keys, spoken)


def _relative(curves: Sequence[Curve], days: Sequence[date], facts: Mapping[str, Any]) -> Chart | None:
    """A over B, less one; a line where the first decision differs."""
    (_, one, a), (_, other, b) = curves
    if float(b.min()) <= 0.0:
        return None
    lead = a / b - 1.0
    low, high = figures.bounds([lead, np.array([0.0, 0.001])])
    frame = Frame(-1, len(days) - 1, low, high, 150)
    ticks = figures.percent_ticks(figures.steps(low, high, 5))
    layers = [figures.line("lead", lead, start=0.0)]
    found = facts["pairs"][0]["diverging"]
    at = [i for i, day in enumerate(days) if found and str(day) == found["session"]]
    if at:
        layers.insert(0, figures.Layer("parting", "line", np.array([at[0] - 0.5] * 2), np.array([low, high])))
    ahead = percent(float(lead[-1]), sign=True)
    keys = [Key("lead", f"{one.label} over {other.label}", f"{ahead} at the end")]
    if at:
        keys.append(Key("parting", "They part", spell(days[at[0]])))
    spoken = f"{one.label} over {other.label}, {_span(days)}: {ahead} at the end."
    return Chart(figures.draw(layers, frame, ticks), tuple(keys), spoken)


def _span(days: Sequence[date]) -> str:
    return f"{spell(days[0])} to {spell(days[-1])}"


def _interval(facts: Mapping[str, Any], spoken: str) -> dict[str, Any] | None:
    """The interval of the Sharpe difference beside zero, positions in percent; None without one."""
    pair = facts["pairs"][0]
    found = [number_of(pair["values"][key]) for key in ("low", "sharpe_difference", "high")]
    known = [value for value in found if value is not None]
    if len(facts["pairs"]) > 1 or len(known) < 3 or pair["sessions"] < FEWEST_SESSIONS:
        return None
    left, right = figures.bounds([np.array([*known, 0.0])], room=0.06)
    low, point, high, zero = (round(100 * (v - left) / (right - left), 2) for v in (*known, 0.0))
    ticks = [
        (round(100 * (v - left) / (right - left), 2), f"{MINUS if v < 0 else ''}{abs(v):g}")
        for v in figures.steps(left, right, 7)
    ]
    return {"low": low, "width": round(high - low, 2), "point": point, "zero": zero, "ticks": ticks, "spoken": spoken}


STATISTICS = (
    ("sharpe_difference_se", "Standard error", "of the Sharpe difference, prewhitened HAC"),
    ("p", "p", "Ledoit-Wolf, studentised circular bootstrap"),
    ("p_hac", "p, normal", "from the HAC error, for comparison"),
    ("detectable", "Detectable difference", "of Sharpe ratios at this length, 80\u00a0% power"),
    ("correlation", "Correlation", "of the returns"),
)


def _statistics(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(label, hint, text) of the paired statistics; only for two runs and enough sessions."""
    pair = facts["pairs"][0]
    values = pair["values"]
    if len(facts["pairs"]) > 1 or pair["sessions"] < FEWEST_SESSIONS or values["p"] is None:
        return []
    rows = [(label, hint, (p_value if key.startswith("p") else ratio)(values[key])) for key, label, hint in STATISTICS]
    band = f"{ratio(values['paired_low'])} to {ratio(values['paired_high'])}"
    needed = values["sessions_needed"]
    rows.append(("Paired bootstrap", "95\u00a0% interval of the Sharpe difference, stationary", band))
    rows.append(("Tracking error", "a year", percent(values["tracking_error"])))
    if needed is not None:
        rows.append(("Needed", "sessions to find this difference, 80\u00a0% power", whole(round(needed))))
    return rows
