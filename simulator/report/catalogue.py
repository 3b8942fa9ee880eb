"""Every metric by its key: name, unit, format, help and direction. Tables, pages and files all take them from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
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
    sessions_needed,
    signed_percent,
    signed_ratio,
    whole,
    years,
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
    key : its own, and that of its value in run.json and in answers of `sim stats` unless `source` names another
    unit : of the number as shown
    format : writes a value, "n/a" for what is undefined
    better : which direction is better; empty where neither is
    flags : "annual" figures are withheld below 60 sessions, "brief" ones shown in terminals and at the head of the page
    ends : keys of both ends where it is an interval
    source : key of its value, where a metric of another table has the same
    """

    key: str
    name: str
    unit: str
    format: Format
    help: str = ""
    better: Direction = ""
    flags: str = ""
    ends: tuple[str, str] | None = None
    source: str = ""

    @property
    def value_key(self) -> str:
        """Key of its value, of its lower end where it is an interval."""
        return self.ends[0] if self.ends else self.source or self.key

    @property
    def annualised(self) -> bool:
        """True for figures of a year."""
        return "annual" in self.flags

    @property
    def brief(self) -> bool:
        """True for the few figures people look for first."""
        return "brief" in self.flags

    def write(self, values: Mapping[str, object]) -> str:
        """Return its value among `values` as text, an interval where it is one."""
        if self.ends is None:
            return self.format(values.get(self.value_key))
        return interval(values.get(self.ends[0]), values.get(self.ends[1]), self.format)

    def cell(self, values: Mapping[str, object], reasons: Mapping[str, object], withheld: bool = False) -> Cell:
        """Return its cell: text and value, or why there is none. `withheld`: too short for annualised figures."""
        if withheld and self.annualised:
            return Cell(WITHHELD, WITHHELD_WHY)
        text, key = self.write(values), self.value_key
        if text != UNDEFINED:
            return Cell(text, value=number_of(values.get(self.source or self.key)))
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


SHARPE_INTERVAL = Metric(
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
        Metric("total_return", "Total return", "%", signed_percent, "after costs", "higher", "brief"),
        Metric("cagr", "Growth a year", "% a year", signed_percent, "compound, CAGR", "higher", "annual brief"),
        Metric("annual_return", "Mean return a year", "% a year", signed_percent, "arithmetic", "higher", "annual"),
        Metric("final_equity", "Final equity", "$", dollars, "", "higher"),
    ),
    "Risk": (
        Metric("volatility", "Volatility", "% a year", percent, "a year", "lower", "annual brief"),
        Metric("max_drawdown", "Largest drawdown", "%", loss, "from a peak at the close", "lower", "brief"),
        Metric("max_drawdown_sessions", "Longest drawdown", "sessions", whole, "sessions, recovery included", "lower"),
        Metric("ulcer", "Ulcer index", "%", percent, "root mean square drawdown", "lower"),
        Metric("var_95", "Value at risk 95\u00a0%", "%", fine_percent, "one session, historical", "lower"),
        Metric("cvar_95", "Expected shortfall 95\u00a0%", "%", fine_percent, "mean of the worst 5\u00a0%", "lower"),
        Metric("tail_ratio", "Tail ratio", "", ratio, "95th over 5th percentile", "higher"),
        Metric("skew", "Skewness", "", ratio, "negative: the longer tail is of losses", "higher"),
        Metric("kurtosis", "Kurtosis", "", ratio, "weight of the tails, normal is 3", "lower"),
    ),
    "Return for risk": (
        Metric(
            "sharpe",
            "Sharpe ratio",
            "a year",
            ratio,
            "excess of the risk-free return, a year",
            "higher",
            "annual brief",
        ),
        SHARPE_INTERVAL,
        Metric(
            "sortino", "Sortino ratio", "a year", ratio, "downside below the risk-free return", "higher", "annual brief"
        ),
        Metric("calmar", "Calmar ratio", "a year", ratio, "CAGR over largest drawdown", "higher", "annual"),
        Metric("omega", "Omega ratio", "", ratio, "gains over losses", "higher"),
    ),
    "Against buy-and-hold": (
        Metric("beta", "Beta", "", ratio, "share of its moves that is followed"),
        Metric("alpha", "Alpha", "% a year", signed_percent, "a year, what beta does not explain", "higher", "annual"),
        Metric("alpha_t", "Alpha, t", "", ratio, "alpha over its HAC error", "higher", "annual"),
        Metric(
            "information_ratio",
            "Information ratio",
            "a year",
            ratio,
            "difference over its spread, a year",
            "higher",
            "annual brief",
        ),
    ),
    "Trading": (
        Metric("trades", "Round trips", "trades", whole, "from flat to flat", "", "brief"),
        Metric("wins", "Trades won", "trades", whole, "", "higher"),
        Metric("losses", "Trades lost", "trades", whole, "", "lower"),
        Metric("scratches", "Scratches", "trades", whole, "neither won nor lost"),
        Metric("hit_rate", "Hit rate", "%", percent, "round trips that gained", "higher", "brief"),
        Metric("profit_factor", "Profit factor", "", ratio, "gains over losses", "higher", "brief"),
        Metric("payoff", "Payoff ratio", "", ratio, "mean gain over mean loss", "higher"),
        Metric("expectancy", "Expectancy", "$", cents, "mean gain of a trade, net", "higher"),
        Metric("gross_profit", "Gained", "$", dollars, "by the trades won, net", "higher"),
        Metric("gross_loss", "Lost", "$", dollars, "by the trades lost, net", "lower"),
        Metric("max_consecutive_losses", "Longest losing streak", "trades", whole, "trades", "lower"),
        Metric("turnover", "Turnover", "× a year", times, "times equity a year, one side", "lower", "annual brief"),
        Metric("exposure", "Exposure", "%", percent, "mean gross weight", "", "brief"),
    ),
}
"""Metrics of a run or of a column of returns, in the order they are shown."""

SIGNIFICANCE: tuple[Metric, ...] = (
    Metric("sharpe_se_hac", "Standard error", "a year", ratio, "of the Sharpe ratio, HAC", "lower", "annual"),
    Metric("sharpe_p_hac", "p, HAC", "", p_value, "of a Sharpe ratio of zero or less, one-sided", "lower"),
    Metric("sharpe_p_iid", "p, independent normal", "", p_value, "for comparison only", "lower"),
    Metric("psr", "Probabilistic Sharpe", "%", percent, "probability that the true one is above zero", "higher"),
    Metric(
        "min_trl", "Minimum track record", "sessions", sessions_needed, "sessions needed for 95\u00a0% of that", "lower"
    ),
    Metric("trials", "Trials", "", whole, "results of this strategy or on the same bars, this one included"),
    Metric("effective_trials", "Effective trials", "", ratio, "after their correlation"),
    Metric(
        "expected_max_sharpe", "Best by luck", "a year", ratio, "expected best Sharpe of so many trials without skill"
    ),
    Metric("dsr", "Deflated, as published", "%", percent, "true one above the best by luck; decides nothing", "higher"),
    Metric("dsr_effective", "… effective trials", "%", percent, "as published; decides nothing", "higher"),
    Metric("beta_basket", "Beta, basket", "", ratio, "to the equal-weight basket, OLS; decides nothing"),
    Metric(
        "alpha_basket",
        "Alpha, basket",
        "% a year",
        signed_percent,
        "a year, what that beta does not explain; decides nothing",
        "higher",
        "annual",
    ),
    Metric("alpha_t_basket", "Alpha, basket, t", "", ratio, "that alpha over its HAC error", "higher", "annual"),
    Metric("timing_percentile", "Timing", "%", percent, "of all shifts in time, those that earn less", "higher"),
    Metric("timing_p", "p, timing", "", p_value, "that some other time would have done as well, one-sided", "lower"),
    Metric(
        "detectable_sharpe", "Detectable Sharpe", "a year", ratio, "80\u00a0% power at this length", "lower", "annual"
    ),
    Metric("rho_1", "Autocorrelation", "", ratio, "of the first lag"),
    Metric("ljung_box_p", "Ljung-Box p", "", p_value, "ten lags"),
    Metric("sharpe_eta", "Sharpe, adjusted", "a year", ratio, "for autocorrelation, Lo's η", "higher", "annual"),
)
"""Inference on a Sharpe ratio, beyond its interval."""

SKILL: tuple[Metric, ...] = (
    Metric(
        "usual_exposure",
        "Usual exposure",
        "% a year",
        signed_percent,
        "what its own mean weights up to each session would have earned",
        flags="annual",
    ),
    Metric(
        "choosing",
        "Choosing and timing",
        "% a year",
        signed_percent,
        "what it earned by not holding just these",
        "higher",
        "annual",
    ),
    Metric(
        "costs",
        "Costs",
        "% a year",
        signed_percent,
        "slippage, commissions, borrowed shares and the spread on a debit",
        "higher",
        "annual",
    ),
    Metric(
        "beyond",
        "Choosing and timing, less costs",
        "% a year",
        signed_percent,
        "what the verdict is on",
        "higher",
        "annual",
    ),
    Metric("excess", "Return over cash", "% a year", signed_percent, "all of it", "higher", "annual"),
)
"""Mean excess return in parts, as `skill` of run.json has it."""

ANSWERS: tuple[Metric, ...] = (
    Metric("llm_cost", "LLM cost", "$", cents, "of the questions to its seat", "lower"),
    Metric(
        "calibration", "Calibration", "", signed_ratio, "rank correlation of convictions and what followed", "higher"
    ),
    Metric("reviews", "Reviews", "", signed_ratio, "correlation of mean scores and what followed", "higher"),
)
"""Figures of an account whose decisions were answers."""

RESAMPLING: tuple[Metric, ...] = (
    Metric("eta", "η", "", ratio, "in place of √P"),
    Metric("block_length", "Mean block", "sessions", tenths, "sessions"),
    Metric(
        "max_drawdown_band",
        "Drawdown, 90\u00a0% band",
        "%",
        rough_percent,
        "nine in ten redrawn histories",
        "lower",
        ends=("max_drawdown_5", "max_drawdown_95"),
    ),
)
"""Further inference, shown by `sim stats`."""

DIFFERENCE: tuple[Metric, ...] = (
    Metric("sharpe_difference", "Difference", "a year", signed_ratio, "of the Sharpe ratios"),
    Metric("ci", "95\u00a0% interval", "a year", ratio, "Ledoit-Wolf", ends=("ci_low", "ci_high")),
    Metric(
        "paired_ci",
        "95\u00a0% interval, paired",
        "a year",
        ratio,
        "stationary bootstrap on the same sessions",
        ends=("paired_ci_low", "paired_ci_high"),
    ),
    Metric("se_hac", "Standard error", "a year", ratio, "of the Sharpe difference, prewhitened HAC"),
    Metric("p", "p, equal Sharpe ratios", "", p_value, "Ledoit-Wolf, studentised circular bootstrap, two-sided"),
    Metric("p_hac", "p, normal", "", p_value, "from the HAC error, for comparison"),
    Metric("correlation", "Correlation", "", ratio, "of the returns"),
    Metric(
        "detectable_difference", "Detectable difference", "a year", ratio, "found four times in five at this length"
    ),
    Metric("power", "Power", "%", percent, "for a true difference as large as the one seen"),
    Metric(
        "sessions_needed", "Sessions needed", "sessions", sessions_needed, "to find that difference four times in five"
    ),
    Metric("block_length_paired", "Block", "sessions", whole, "sessions, circular bootstrap", source="block_length"),
)
"""Difference of two accounts on the same sessions."""

SELECTION: tuple[Metric, ...] = (
    Metric("trials_swept", "Trials", "", whole, "columns, failed ones too, or --trials", source="trials"),
    Metric(
        "effective_trials_swept",
        "Effective trials",
        "",
        tenths,
        "independent ones they amount to",
        source="effective_trials",
    ),
    Metric("best_sharpe", "Best Sharpe", "a year", ratio, "", "higher"),
    Metric(
        "expected_maximum_sharpe", "Expected best without skill", "a year", ratio, "of as many trials with this spread"
    ),
    Metric("expected_maximum_sharpe_effective", "… of the effective trials", "a year", ratio),
    Metric("reality_check_p", "Reality check p", "", p_value, "largest Sharpe ratio, recentred, own sd", "lower"),
    Metric(
        "dsr_of_best",
        "Deflated, as published",
        "%",
        percent,
        "probability that the best has skill",
        "higher",
        source="dsr",
    ),
    Metric("dsr_effective_of_best", "… by effective trials", "%", percent, "", "higher", source="dsr_effective"),
    Metric("psr_of_best", "PSR, unadjusted", "%", percent, "beside it", "higher", source="psr"),
    Metric("pbo", "PBO", "%", percent, "", "lower"),
    Metric("prob_oos_loss", "Loss out of sample", "%", percent, "splits in which the best in sample lost", "lower"),
    Metric("is_oos_slope", "Slope, in to out of sample", "", ratio, "", "higher"),
    Metric("minimum_backtest_years", "Minimum backtest length", "years", years),
)
"""Corrections for having been chosen as the best of many."""

CATALOGUE: tuple[Metric, ...] = tuple(
    chain(*GROUPS.values(), SIGNIFICANCE, SKILL, ANSWERS, RESAMPLING, DIFFERENCE, SELECTION)
)
"""Every metric; no two have one key."""

METRICS: dict[str, Metric] = {metric.key: metric for metric in CATALOGUE}
"""Every metric by its key."""


def make_metric(key: str) -> Metric:
    """Return a metric for a key that the catalogue does not have."""
    return Metric(key, key.replace("_", " ").capitalize(), "", ratio)
