"""Every metric by its key: name, unit, format, help and direction. Tables, pages and files all take them from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.number_format import (
    UNDEFINED,
    cents,
    dollars,
    interval,
    loss,
    number_of,
    p_value,
    percent,
    ratio,
    rough_percent,
    signed_percent,
    signed_ratio,
    whole,
)
from simulator.report.table import Cell

Format = Callable[[object], str]
Direction = Literal["higher", "lower", ""]

WITHHELD = "withheld"
WITHHELD_WHY = f"annualised figures are withheld below {FEWEST_SESSIONS} sessions"
NO_REASON = "no reason recorded"


@dataclass(frozen=True)
class Metric:
    """A number with a name.

    Attributes
    ----------
    key : under which it stands in run.json and in answers of `sim stats`
    unit : of the number as shown
    format : writes a value, "n/a" for what is undefined
    better : which direction is better; empty where neither is
    annualised : withheld below 60 sessions
    brief : shown in terminals and at the head of the page
    ends : keys of both ends where it is an interval
    """

    key: str
    name: str
    unit: str
    format: Format
    help: str = ""
    better: Direction = ""
    annualised: bool = False
    brief: bool = False
    ends: tuple[str, str] | None = None

    def write(self, values: Mapping[str, object]) -> str:
        """Return its value among `values` as text, an interval where it is one."""
        if self.ends is None:
            return self.format(values.get(self.key))
        return interval(values.get(self.ends[0]), values.get(self.ends[1]), self.format)

    def cell(self, values: Mapping[str, object], reasons: Mapping[str, object], withheld: bool = False) -> Cell:
        """Return its cell: text and value, or why there is none. `withheld`: too short for annualised figures."""
        if withheld and self.annualised:
            return Cell(WITHHELD, WITHHELD_WHY)
        text, key = self.write(values), self.ends[0] if self.ends else self.key
        if text != UNDEFINED:
            return Cell(text, value=number_of(values.get(self.key)))
        why = reasons.get(key) or (self.ends and reasons.get(self.key.removesuffix("_interval")))
        return Cell(text, str(why or (NO_REASON if key in values else "not computed for this column")))


def fine_percent(value: object) -> str:
    """A fraction as ``1.23 %``."""
    return percent(value, 2)


def tenths(value: object) -> str:
    """``12.3``."""
    return ratio(value, 1)


def times(value: object) -> str:
    """``3.2×``."""
    text = ratio(value, 1)
    return text if text == UNDEFINED else text + "×"


def _m(
    key: str,
    name: str,
    unit: str,
    write: Format,
    hint: str = "",
    better: Direction = "",
    flags: str = "",
    ends: tuple[str, str] | None = None,
) -> Metric:
    return Metric(key, name, unit, write, hint, better, "annual" in flags, "brief" in flags, ends)


SHARPE_INTERVAL = _m(
    "sharpe_interval",
    "95\u00a0% interval",
    "a year",
    ratio,
    "of the Sharpe ratio, stationary bootstrap",
    flags="annual brief",
    ends=("sharpe_ci_low", "sharpe_ci_high"),
)

GROUPS: dict[str, tuple[Metric, ...]] = {
    "Return": (
        _m("total_return", "Total return", "%", signed_percent, "after costs", "higher", "brief"),
        _m("cagr", "Growth a year", "% a year", signed_percent, "compound, CAGR", "higher", "annual brief"),
        _m("annual_return", "Mean return a year", "% a year", signed_percent, "arithmetic", "higher", "annual"),
        _m("final_equity", "Final equity", "$", dollars, "", "higher"),
    ),
    "Risk": (
        _m("volatility", "Volatility", "% a year", percent, "a year", "lower", "annual brief"),
        _m("max_drawdown", "Largest drawdown", "%", loss, "from a peak at the close", "lower", "brief"),
        _m("max_drawdown_sessions", "Longest drawdown", "sessions", whole, "sessions, recovery included", "lower"),
        _m("ulcer", "Ulcer index", "%", percent, "root mean square drawdown", "lower"),
        _m("var_95", "Value at risk 95\u00a0%", "%", fine_percent, "one session, historical", "lower"),
        _m("cvar_95", "Expected shortfall 95\u00a0%", "%", fine_percent, "mean of the worst 5\u00a0%", "lower"),
        _m("tail_ratio", "Tail ratio", "", ratio, "95th over 5th percentile", "higher"),
        _m("skew", "Skewness", "", ratio, "negative: the longer tail is of losses", "higher"),
        _m("kurtosis", "Kurtosis", "", ratio, "weight of the tails, normal is 3", "lower"),
    ),
    "Return for risk": (
        _m(
            "sharpe",
            "Sharpe ratio",
            "a year",
            ratio,
            "excess of the risk-free return, a year",
            "higher",
            "annual brief",
        ),
        SHARPE_INTERVAL,
        _m(
            "sortino", "Sortino ratio", "a year", ratio, "downside below the risk-free return", "higher", "annual brief"
        ),
        _m("calmar", "Calmar ratio", "a year", ratio, "CAGR over largest drawdown", "higher", "annual"),
        _m("omega", "Omega ratio", "", ratio, "gains over losses", "higher"),
    ),
    "Against buy-and-hold": (
        _m("beta", "Beta", "", ratio, "share of its moves that is followed"),
        _m("alpha", "Alpha", "% a year", signed_percent, "a year, what beta does not explain", "higher", "annual"),
        _m("alpha_t", "Alpha, t", "", ratio, "alpha over its HAC error", "higher", "annual"),
        _m(
            *(
                "information_ratio",
                "Information ratio",
                "a year",
                ratio,
                "difference over its spread, a year",
                "higher",
            ),
            "annual brief",
        ),
    ),
    "Trading": (
        _m("trades", "Round trips", "trades", whole, "from flat to flat", "", "brief"),
        _m("wins", "Trades won", "trades", whole, "", "higher"),
        _m("losses", "Trades lost", "trades", whole, "", "lower"),
        _m("scratches", "Scratches", "trades", whole, "neither won nor lost"),
        _m("hit_rate", "Hit rate", "%", percent, "round trips that gained", "higher", "brief"),
        _m("profit_factor", "Profit factor", "", ratio, "gains over losses", "higher", "brief"),
        _m("payoff", "Payoff ratio", "", ratio, "mean gain over mean loss", "higher"),
        _m("expectancy", "Expectancy", "$", cents, "mean gain of a trade, net", "higher"),
        _m("gross_profit", "Gained", "$", dollars, "by the trades won, net", "higher"),
        _m("gross_loss", "Lost", "$", dollars, "by the trades lost, net", "lower"),
        _m("max_consecutive_losses", "Longest losing streak", "trades", whole, "trades", "lower"),
        _m("turnover", "Turnover", "× a year", times, "times equity a year, one side", "lower", "annual brief"),
        _m("exposure", "Exposure", "%", percent, "mean gross weight", "", "brief"),
    ),
}
"""What a run or a column of returns earned, in the order it is shown."""

SIGNIFICANCE: tuple[Metric, ...] = (
    _m("sharpe_se_hac", "Standard error", "a year", ratio, "of the Sharpe ratio, HAC", "lower", "annual"),
    _m("sharpe_p_hac", "p, HAC", "", p_value, "of a Sharpe ratio of zero or less, one-sided", "lower"),
    _m("sharpe_p_iid", "p, independent normal", "", p_value, "for comparison only", "lower"),
    _m("psr", "Probabilistic Sharpe", "%", percent, "probability that the true one is above zero", "higher"),
    _m("min_trl", "Minimum track record", "sessions", whole, "sessions needed for 95\u00a0% of that", "lower"),
    _m("trials", "Trials", "", whole, "results on overlapping data, this one included"),
    _m("effective_trials", "Effective trials", "", ratio, "after their correlation"),
    _m("expected_max_sharpe", "Best by luck", "a year", ratio, "expected best Sharpe of so many trials without skill"),
    _m("dsr", "Deflated Sharpe", "%", percent, "probability that the true one is above the best by luck", "higher"),
    _m("dsr_effective", "Deflated, effective", "%", percent, "for the effective number of trials", "higher"),
    _m("timing_percentile", "Timing", "%", percent, "of all shifts in time, those that earn less", "higher"),
    _m("timing_p", "p, timing", "", p_value, "that some other time would have done as well, one-sided", "lower"),
    _m("detectable_sharpe", "Detectable Sharpe", "a year", ratio, "80\u00a0% power at this length", "lower", "annual"),
    _m("rho_1", "Autocorrelation", "", ratio, "of the first lag"),
    _m("ljung_box_p", "Ljung-Box p", "", p_value, "ten lags"),
    _m("sharpe_eta", "Sharpe, adjusted", "a year", ratio, "for autocorrelation, Lo's η", "higher", "annual"),
)
"""How far a Sharpe ratio can be trusted, beyond its interval."""

RESAMPLING: tuple[Metric, ...] = (
    _m("eta", "η", "", ratio, "in place of √P"),
    _m("block_length", "Mean block", "sessions", tenths, "sessions"),
    _m(
        "max_drawdown_band",
        "Drawdown, 90\u00a0% band",
        "%",
        rough_percent,
        "nine in ten redrawn histories",
        "lower",
        ends=("max_drawdown_5", "max_drawdown_95"),
    ),
)
"""What `sim stats` adds to them."""

DIFFERENCE: tuple[Metric, ...] = (
    _m("sharpe_difference", "Difference", "a year", signed_ratio, "of the Sharpe ratios"),
    _m("ci", "95\u00a0% interval", "a year", ratio, "Ledoit-Wolf", ends=("ci_low", "ci_high")),
    _m(
        "paired_ci",
        "95\u00a0% interval, paired",
        "a year",
        ratio,
        "stationary bootstrap on the same sessions",
        ends=("paired_ci_low", "paired_ci_high"),
    ),
    _m("se_hac", "Standard error", "a year", ratio, "of the Sharpe difference, prewhitened HAC"),
    _m("p", "p, equal Sharpe ratios", "", p_value, "Ledoit-Wolf, studentised circular bootstrap, two-sided"),
    _m("p_hac", "p, normal", "", p_value, "from the HAC error, for comparison"),
    _m("correlation", "Correlation", "", ratio, "of the returns"),
    _m("detectable_difference", "Detectable difference", "a year", ratio, "found four times in five at this length"),
    _m("power", "Power", "%", percent, "for a true difference as large as the one seen"),
    _m("sessions_needed", "Sessions needed", "sessions", whole, "to find that difference four times in five"),
    _m("block_length", "Block", "sessions", whole, "sessions, circular bootstrap"),
)
"""How two accounts differ on the same sessions."""

SELECTION: tuple[Metric, ...] = (
    _m("trials", "Trials", "", whole, "columns, failed ones too, or --trials"),
    _m("effective_trials", "Effective trials", "", tenths, "independent ones they amount to"),
    _m("best_sharpe", "Best Sharpe", "a year", ratio, "", "higher"),
    _m("expected_maximum_sharpe", "Expected best without skill", "a year", ratio, "of as many trials with this spread"),
    _m("expected_maximum_sharpe_effective", "… of the effective trials", "a year", ratio),
    _m("reality_check_p", "Reality check p", "", p_value, "largest Sharpe ratio, recentred, own sd", "lower"),
    _m("dsr", "Deflated Sharpe ratio", "%", percent, "probability that the best has skill", "higher"),
    _m("dsr_effective", "… by effective trials", "%", percent, "", "higher"),
    _m("psr", "PSR, unadjusted", "%", percent, "beside it", "higher"),
    _m("pbo", "PBO", "%", percent, "", "lower"),
    _m("prob_oos_loss", "Loss out of sample", "%", percent, "splits in which the best in sample lost", "lower"),
    _m("is_oos_slope", "Slope, in to out of sample", "", ratio, "", "higher"),
    _m("minimum_backtest_years", "Minimum backtest length", "years", tenths, "years"),
)
"""What is held against the best of many."""

METRICS: dict[str, Metric] = {
    metric.key: metric
    for group in (SELECTION, DIFFERENCE, RESAMPLING, SIGNIFICANCE, *GROUPS.values())
    for metric in group
}
"""Every metric by its key; where two share one, that of a run."""


def unnamed(key: str) -> Metric:
    """Return a metric for a key that the catalogue does not have."""
    return Metric(key, key.replace("_", " ").capitalize(), "", ratio)
