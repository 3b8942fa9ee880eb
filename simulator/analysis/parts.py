"""Parts of a number: what each session or trade adds to a metric of an account, or what it is worked out from.

AccountSeries ──METHODS[metric]──► Parts (K,) that add up to the number
                                   └─ slope × dollars of a position in a session ──► parts by symbol and by trade
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from simulator.analysis.account_series import AccountSeries, HeldPosition
from simulator.analysis.verdict import part_after_cutoff
from simulator.evidence.reader import read_calls, read_exposure, read_trials
from simulator.number_format import number_of
from simulator.stats.drawdowns import Drawdown, underwater, worst_drawdown
from simulator.stats.hac import newey_west_lag
from simulator.stats.inference import autocorrelations
from simulator.stats.metrics import PERIODS, kurtosis, skew
from simulator.stats.series import Floats, Measure, Undefined
from simulator.stats.trades import SCRATCH

Unit = Literal["", "%", "$", "n"]
"""Number, fraction, dollars, count."""

Figure: TypeAlias = tuple[str, float | None, Unit]
Columns: TypeAlias = Mapping[str, tuple[Floats, Unit]]

YEAR = math.sqrt(PERIODS)


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts (K,) of a number, and what it is worked out from.

    Attributes
    ----------
    labels : sessions; of trades those they ended on, of trials their run folders: `kind` says which
    parts : they add up to the number; None where it has no parts
    columns : (K,) values by name, with their units
    slope : (T,) of the number in a return, or dollar, of each session; None where it is not linear in them
    in_dollars : `slope` is of dollars, not of returns
    over_cash : `slope` is of returns over what the money would have earned as cash
    steps : what else it is worked out from
    held : trades of the rows, where these are trades
    """

    labels: Sequence[str] = ()
    parts: Floats | None = None
    columns: Columns = field(default_factory=dict)
    slope: Floats | None = None
    in_dollars: bool = False
    over_cash: bool = False
    steps: tuple[Figure, ...] = ()
    held: Sequence[HeldPosition] = ()
    kind: str = "session"


@dataclass(frozen=True)
class Method:
    """Formula of a number, its parts, and the `command` that gives it where no single run does."""

    formula: str
    find: Callable[[AccountSeries], Parts] = lambda _: Parts()
    command: str = ""


def _figure(s: AccountSeries, key: str) -> float | None:
    return number_of(s.values.get(key))


def _mean(values: Floats) -> Figure:
    return ("mean a session", float(np.mean(values)), "%")


def by_session(s: AccountSeries, parts: Floats, columns: Columns, steps: tuple[Figure, ...] = ()) -> Parts:
    """Return parts with a row for each session of the run."""
    return Parts([str(day) for day in s.sessions], parts, columns, steps=steps)


def _linear(s: AccountSeries, slope: Floats, x: Floats, columns: Columns, steps: tuple[Figure, ...] = ()) -> Parts:
    return replace(by_session(s, slope * x, columns, steps), slope=slope, over_cash="excess" in columns)


def _equity(s: AccountSeries) -> Columns:
    return {"equity": (s.equity, "$"), "return": (s.returns, "%")}


def _market(s: AccountSeries) -> Columns:
    return {"excess": (s.excess, "%"), s.market: (s.over, "%")}


def _change(s: AccountSeries, slope: float, *steps: Figure) -> Parts:
    """Return the change of the equity in each session times `slope`."""
    every: Floats = np.full(len(s.equity), slope)
    last: Figure = ("final equity", float(s.equity[-1]), "$")
    steps = (("cash at the start", s.run["cash"], "$"), last, *steps)
    return replace(_linear(s, every, s.equity - s.before, _equity(s), steps), in_dollars=True)


def _cagr(s: AccountSeries) -> Parts:
    total = float(s.equity[-1] / s.run["cash"] - 1)
    scale = (_figure(s, "cagr") or 0.0) / total if total else 0.0
    years: Figure = ("years of 252 sessions", len(s.equity) / PERIODS, "")
    return _change(s, scale / s.run["cash"], ("total return", total, "%"), years)


def _volatility(s: AccountSeries) -> Parts:
    away, value = s.returns - s.returns.mean(), _figure(s, "volatility") or 0.0
    slope = away * (PERIODS / ((len(away) - 1) * value)) if value else np.zeros(len(away))
    steps: tuple[Figure, ...] = (_mean(s.returns), ("standard deviation", value / YEAR, "%"))
    return _linear(s, slope, away, {**_equity(s), "from the mean": (away, "%")}, steps)


def _ratio(s: AccountSeries, x: Floats, columns: Columns, spread: Figure) -> Parts:
    slope: Floats = np.full(len(x), YEAR / (len(x) * (spread[1] or math.inf)))
    return _linear(s, slope, x, columns, (_mean(x), spread, ("√252", YEAR, "")))


def _sharpe(s: AccountSeries, downside: bool = False) -> Parts:
    below = np.minimum(s.excess, 0.0)
    spread: Figure = ("standard deviation", float(np.std(s.excess, ddof=1)), "%")
    if downside:
        spread = ("downside deviation", math.sqrt(float(np.mean(below * below))), "%")
    columns: Columns = {"return": (s.returns, "%"), "risk-free": (s.free, "%"), "excess": (s.excess, "%")}
    return _ratio(s, s.excess, {**columns, **({"shortfall": (below, "%")} if downside else {})}, spread)


def _information(s: AccountSeries) -> Parts:
    hold = s.returns if s.hold is None else s.hold
    apart = s.returns - hold
    columns: Columns = {"return": (s.returns, "%"), "buy-and-hold's": (hold, "%"), "difference": (apart, "%")}
    return _ratio(s, apart, columns, ("standard deviation", float(np.std(apart, ddof=1)), "%"))


def _regression(s: AccountSeries) -> tuple[Floats, float, float]:
    """Return the slope (T,) of beta in the excess returns, beta, and the mean of the market's excess."""
    away = s.over - s.over.mean()
    slope = away / float((away * away).sum())
    return slope, float((slope * s.excess).sum()), float(s.over.mean())


def _beta(s: AccountSeries) -> Parts:
    slope, _, market = _regression(s)
    steps: tuple[Figure, ...] = (_mean(s.excess), (f"{s.market} mean", market, "%"))
    away = s.excess - s.excess.mean()
    return _linear(s, slope, away, {**_market(s), "from the mean": (away, "%")}, steps)


def _alpha(s: AccountSeries, in_errors: bool = False) -> Parts:
    slope, beta, market = _regression(s)
    alpha, t = _figure(s, "alpha"), _figure(s, "alpha_t")
    error = alpha / t if in_errors and alpha and t else 1.0
    k = PERIODS / (len(s.excess) * error)
    left = s.excess - beta * s.over
    lag: Figure = ("lags of the HAC error", float(newey_west_lag(len(left))), "n")
    more: tuple[Figure, ...] = (("alpha a year", alpha, "%"), ("its HAC error", error, "%"), lag) if in_errors else ()
    steps: tuple[Figure, ...] = (("beta", beta, ""), _mean(s.excess), (f"{s.market} mean", market, "%"), *more)
    found = by_session(s, k * left, {**_market(s), "not explained": (left, "%")}, steps)
    return replace(found, slope=k * (1.0 - len(left) * market * slope), over_cash=True)


def _on_basket(s: AccountSeries) -> AccountSeries:
    """The account held against the equal-weight basket in the place of buy-and-hold."""
    own = {name: s.values.get(f"{name}_basket") for name in ("alpha", "beta", "alpha_t")}
    return replace(s, hold=s.basket, values={**s.values, **own}, market="equal weight's")


def _turns(s: AccountSeries, worst: Drawdown) -> tuple[Figure, ...]:
    """Return the equity at peak, trough and recovery; points of the path count from before the first session."""
    points = {"peak": worst.peak, "trough": worst.trough, "made good": worst.recovery}
    worth = np.r_[s.run["cash"], s.equity]
    days = ["at the start", *(f"on {day}" for day in s.sessions)]
    found: list[Figure] = [(f"{n} {days[at]}", float(worth[at]), "$") for n, at in points.items() if at is not None]
    return (*found, ("not made good", None, "")) if worst.open else tuple(found)


def _drawdown(s: AccountSeries, count: bool = False) -> Parts:
    """Return the fall of each session from the peak on, up to the trough; or one for each until it was made good."""
    below, worst = underwater(s.returns), worst_drawdown(s.returns)
    if worst is None or isinstance(worst, Undefined) or isinstance(below, Undefined):
        return Parts(parts=np.zeros(0))
    rows = slice(worst.peak, worst.peak + worst.sessions)
    slope = np.zeros(len(s.equity))
    slope[worst.peak : worst.trough] = 1 / s.before[worst.peak]
    parts = np.ones(len(slope)) if count else slope * (s.equity - s.before)
    columns = {**_equity(s), "from the peak": (below[1:], "%")}
    found = by_session(s, parts[rows], {n: (values[rows], unit) for n, (values, unit) in columns.items()})
    labels = found.labels[rows]
    return replace(found, labels=labels, steps=_turns(s, worst), slope=None if count else slope, in_dollars=True)


def _ulcer(s: AccountSeries) -> Parts:
    below, value = underwater(s.returns), _figure(s, "ulcer")
    if isinstance(below, Undefined) or not value:
        return Parts(parts=np.zeros(0))
    fallen = below[1:]
    parts = fallen * fallen / (len(fallen) * value)
    return by_session(s, parts, {**_equity(s), "from the peak": (fallen, "%")})


def _omega(s: AccountSeries) -> Parts:
    lost = float(-np.minimum(s.returns, 0.0).sum())
    gained = np.maximum(s.returns, 0.0)
    steps: tuple[Figure, ...] = (("sum of the gains", float(gained.sum()), "%"), ("sum of the losses", lost, "%"))
    return by_session(s, gained / lost, _equity(s), steps)


def _moment(s: AccountSeries, order: int) -> Parts:
    away = s.returns - s.returns.mean()
    z = away / math.sqrt(float(np.mean(away * away)))
    power = z * z * z if order == 3 else z * z * z * z
    columns: Columns = {"return": (s.returns, "%"), "deviations": (z, "")}
    return by_session(s, power / len(z), columns, (_mean(s.returns),))


def _quantile(s: AccountSeries, level: float) -> Parts:
    """Return the one or two sessions that a quantile of type 7 lies between, by their weights."""
    order = np.argsort(s.returns, kind="stable")
    place = (len(order) - 1) * level
    low, over = int(place), place - int(place)
    rows = order[low : low + (2 if over else 1)]
    shares = np.array([1.0 - over, over][: len(rows)])
    columns: Columns = {"return": (s.returns[rows], "%"), "weight": (shares, "%")}
    place_of: Figure = ("place from the worst, of " + str(len(order)), place + 1, "")
    return Parts([str(s.sessions[n]) for n in rows], shares * s.returns[rows], columns, steps=(place_of,))


def _shortfall(s: AccountSeries) -> Parts:
    bound = float(np.quantile(s.returns, 0.05))
    rows = np.flatnonzero(s.returns <= bound)
    returns = s.returns[rows]
    steps: tuple[Figure, ...] = (("value at risk", bound, "%"), ("sessions beyond it", float(len(rows)), "n"))
    return Parts([str(s.sessions[n]) for n in rows], returns / len(rows), {"return": (returns, "%")}, steps=steps)


def _tails(s: AccountSeries) -> Parts:
    low, high = _quantile(s, 0.05), _quantile(s, 0.95)
    ends = [float(one.parts.sum()) for one in (low, high) if one.parts is not None]
    steps: tuple[Figure, ...] = (("5 % quantile", ends[0], "%"), ("95 % quantile", ends[1], "%"))
    # The lower quantile divides: only those above add up.
    return replace(high, parts=None if high.parts is None else high.parts / -ends[0], steps=steps)


def _from(*keys: tuple[str, str, Unit]) -> Callable[[AccountSeries], Parts]:
    """Return the method of a number that is worked out from others, each (name, key, unit)."""
    return lambda s: Parts(
        steps=tuple((name, value, unit) for name, key, unit in keys if (value := _figure(s, key)) is not None)
    )


def by_trade(
    s: AccountSeries, held: Sequence[HeldPosition], parts: Floats | None, steps: tuple[Figure, ...] = ()
) -> Parts:
    """Return parts by trade: labelled by the session each ended on, the last one of the run while it is held."""
    labels = [str(s.sessions[-1 if one.last is None else one.last]) for one in held]
    pnl = np.array([one.pnl for one in held])
    return Parts(labels, parts, {"P&L": (pnl, "$")}, steps=steps, held=held)


def _trading(s: AccountSeries, name: str) -> Parts:
    """Return what each closed trade adds to a statistic of `simulator.stats.trades`."""
    if s.books is None:
        return Parts()
    closed = sorted((one for one in s.held if one.last is not None), key=lambda one: one.closed_by)
    p = np.array([one.pnl for one in closed])
    won, lost = (p > SCRATCH).astype(np.float64), (p < -SCRATCH).astype(np.float64)
    gains, losses = float((p * won).sum()), float(-(p * lost).sum())
    parts: dict[str, Callable[[], Floats]] = {
        "trades": lambda: np.ones(len(p)),
        "wins": lambda: won,
        "losses": lambda: lost,
        "scratches": lambda: 1.0 - won - lost,
        "hit_rate": lambda: won / (won + lost).sum(),
        "profit_factor": lambda: p * won / losses,
        "payoff": lambda: p * won / won.sum() / (losses / lost.sum()),
        "expectancy": lambda: p / len(p),
        "gross_profit": lambda: p * won,
        "gross_loss": lambda: p * lost,
        "max_consecutive_losses": lambda: _streak(lost),
    }
    steps: tuple[Figure, ...] = (
        ("trades won", float(won.sum()), "n"),
        ("their gains", gains, "$"),
        ("trades lost", float(lost.sum()), "n"),
        ("their losses", -losses, "$"),
    )
    return by_trade(s, closed, parts[name](), steps)


def _streak(lost: Floats) -> Floats:
    """Return 1.0 (K,) for each trade of the longest streak of losses, the first of equals."""
    runs = np.zeros(len(lost))
    for n in range(len(lost)):
        runs[n] = (runs[n - 1] if n else 0.0) + 1.0 if lost[n] else 0.0
    found = np.zeros(len(lost))
    if len(lost):
        end = int(np.argmax(runs))
        found[end + 1 - int(runs[end]) : end + 1] = 1.0
    return found


def _turnover(s: AccountSeries, symbol: str | None = None) -> Parts:
    if s.books is None:  # positions of benchmarks are in no folder
        return Parts()
    traded = np.zeros(len(s.equity))
    for name, fills in s.fills.items():
        for _, day, _, _, dollars, _ in fills if symbol in (None, name) else ():
            traded[day] += abs(dollars)
    there = s.equity > 0
    share = np.where(there, traded / np.where(there, s.equity, 1.0), 0.0)
    columns: Columns = {"equity": (s.equity, "$"), "traded": (traded, "$"), "of equity": (share, "%")}
    return by_session(s, share / 2 * PERIODS / len(share), columns)


def _exposure(s: AccountSeries, symbol: str | None = None) -> Parts:
    if s.books is None:
        return Parts()
    gross = np.zeros(len(s.equity))
    for name, weights in s.weights.items():
        gross += np.abs(weights) if symbol in (None, name) else 0.0
    return by_session(s, gross / len(gross), {"equity": (s.equity, "$"), "gross weight": (gross, "%")})


def _skill(s: AccountSeries, *names: str) -> Parts:
    """Return the columns of exposure.csv in the sessions that are judged, a year."""
    sessions, series = read_exposure(s.folder, s.run)
    if not sessions:
        return Parts()
    judged = part_after_cutoff(s.run)
    kept = slice(len(sessions) - (judged["sessions"] if judged else 0), None)
    columns: Columns = {name: (values[kept], "%") for name, values in series.items()}
    mine = sum((columns[name][0] for name in names if name in columns), np.zeros(len(sessions[kept])))
    return Parts([str(day) for day in sessions[kept]], mine * PERIODS / len(mine), columns, steps=(_mean(mine),))


def _cost_of_answers(s: AccountSeries) -> Parts:
    """Return what the questions to the account's seat cost, by session."""
    seat = next((one["seat"] for one in s.run["accounts"] if one["name"] == s.name), None)
    costs: dict[str, list[float]] = {}
    for call in read_calls(s.folder, s.run):
        if call["seat"] == seat and call["replicate"] == 0:
            costs.setdefault(call["session"], []).append(call["cost_usd"])
    asked = np.array([float(len(one)) for one in costs.values()])
    parts = np.array([math.fsum(one) for one in costs.values()])
    return Parts(list(costs), parts, {"questions": (asked, "n")})


def _explain_correlation(s: AccountSeries, reviews: bool = False) -> Parts:
    """Return of how many convictions, or reviewed pitches, a correlation is, and its interval."""
    entry = next((one for one in s.run["accounts"] if one["name"] == s.name), None)
    found: tuple[float | None, ...] = ()
    if entry and reviews and (scores := entry["reviews"]):
        found = (scores["n"], scores["low"], scores["high"])
    elif entry and not reviews and (convictions := entry["calibration"]):
        found = (convictions["n"], convictions["ic_low"], convictions["ic_high"])
    units: tuple[tuple[str, Unit], ...] = (("settled", "n"), ("95 % interval, from", ""), ("to", ""))
    known = zip(units, found, strict=False)
    return Parts(steps=tuple((name, float(value), unit) for (name, unit), value in known if value is not None))


def _lag_one(s: AccountSeries) -> Parts:
    away = s.excess - s.excess.mean()
    before = np.r_[0.0, away[:-1]]
    columns: Columns = {"from the mean": (away, "%"), "the session before": (before, "%")}
    return by_session(s, away * before / float((away * away).sum()), columns)


def _lags(s: AccountSeries) -> Parts:
    rho = autocorrelations(s.excess, 10)
    named = [] if isinstance(rho, Undefined) else list(enumerate(rho.tolist(), 1))
    return Parts(steps=tuple((f"autocorrelation, lag {lag}", value, "") for lag, value in named))


def _shape(s: AccountSeries, *more: tuple[str, str, Unit]) -> Parts:
    """Return what the probabilistic Sharpe ratio of the excess returns is worked out from."""

    def value(found: Measure) -> float | None:
        return None if isinstance(found, Undefined) else found

    sharpe = (_figure(s, "sharpe") or 0.0) / YEAR
    first: tuple[Figure, ...] = (("Sharpe ratio a session", sharpe, ""), ("sessions", float(len(s.excess)), "n"))
    shape: tuple[Figure, ...] = (("skewness", value(skew(s.excess)), ""), ("kurtosis", value(kurtosis(s.excess)), ""))
    return Parts(steps=(*first, *shape, *_from(*more)(s).steps))


def _trials(s: AccountSeries) -> Parts:
    rows = read_trials(s.folder, s.run)
    ratios = np.array([math.nan if row["sharpe"] is None else row["sharpe"] for row in rows], dtype=np.float64)
    steps = _from(("trials", "trials", "n"), ("effective trials", "effective_trials", ""))(s).steps
    spread: Figure = ("spread of their Sharpe ratios", _figure(s, "trial_sharpe_sd"), "")
    return Parts(
        [row["folder"] or row["run_id"] for row in rows],
        None,
        {"Sharpe ratio": (ratios, "")},
        steps=(*steps, spread),
        kind="run",
    )


SHARPE: tuple[str, str, Unit] = ("Sharpe ratio", "sharpe", "")
PSR = "Φ(SR·√(n − 1) / √(1 − skew·SR + (kurtosis − 1)/4·SR²)), SR a session"
PAIR, SWEEP = "sim compare RUN RUN", "sim stats FILE"
BOOTSTRAP = "95 % of the annual Sharpe ratios of 10,000 histories redrawn in blocks of the mean length stated"
BLOCKS: tuple[str, str, Unit] = ("mean block, sessions", "block_length", "")

METHODS: dict[str, Method] = {
    "total_return": Method(
        "final equity over the cash at the start, less 1; a part is the session's dollars over that cash",
        lambda s: _change(s, 1 / s.run["cash"]),
    ),
    "cagr": Method("(1 + total return)^(252/sessions) − 1; a part is the session's share in the total return", _cagr),
    "annual_return": Method(
        "mean return of a session × 252",
        lambda s: _linear(s, np.full(len(s.returns), PERIODS / len(s.returns)), s.returns, _equity(s)),
    ),
    "final_equity": Method("cash at the start and the change of every session", lambda s: _change(s, 1.0)),
    "volatility": Method(
        "standard deviation of the returns (n − 1) × √252; a part is the session's in the variance, over it",
        _volatility,
    ),
    "max_drawdown": Method("equity at the trough over that at the peak before it, less 1", _drawdown),
    "max_drawdown_sessions": Method(
        "sessions from the peak of the deepest drawdown until it was made good", partial(_drawdown, count=True)
    ),
    "ulcer": Method("√mean(drawdown²) over all sessions; a part is drawdown² over sessions × the index", _ulcer),
    "var_95": Method("5 % quantile of the returns, between the sessions next to it", lambda s: _quantile(s, 0.05)),
    "cvar_95": Method("mean of the returns at or below the value at risk", _shortfall),
    "tail_ratio": Method("95 % quantile of the returns over the loss at the 5 % quantile", _tails),
    "skew": Method("mean of the cubed deviations from the mean, in standard deviations", lambda s: _moment(s, 3)),
    "kurtosis": Method("mean of the fourth powers of the deviations, in standard deviations", lambda s: _moment(s, 4)),
    "sharpe": Method("mean of the excess returns / their standard deviation (n − 1) × √252", _sharpe),
    "sharpe_interval": Method(BOOTSTRAP, _from(SHARPE, BLOCKS)),
    "sortino": Method("mean of the excess returns / √mean(shortfall²) × √252", partial(_sharpe, downside=True)),
    "calmar": Method(
        "growth a year over the largest drawdown",
        _from(("growth a year", "cagr", "%"), ("largest drawdown", "max_drawdown", "%")),
    ),
    "omega": Method("sum of the gains over the sum of the losses of all sessions", _omega),
    "beta": Method("covariance of the excess returns with buy-and-hold's over the variance of these", _beta),
    "alpha": Method("mean of what is left of the excess return after beta × buy-and-hold's, × 252", _alpha),
    "alpha_t": Method("alpha over its Newey-West error", partial(_alpha, in_errors=True)),
    "beta_basket": Method(
        "covariance of the excess returns with the equal-weight basket's over the variance of these",
        lambda s: _beta(_on_basket(s)),
    ),
    "alpha_basket": Method(
        "mean of what is left of the excess return after beta × the equal-weight basket's, × 252",
        lambda s: _alpha(_on_basket(s)),
    ),
    "alpha_t_basket": Method(
        "alpha on the equal-weight basket over its Newey-West error", lambda s: _alpha(_on_basket(s), in_errors=True)
    ),
    "information_ratio": Method("mean of the returns less buy-and-hold's / standard deviation × √252", _information),
    "trades": Method("trades closed: positions from flat to flat", partial(_trading, name="trades")),
    "wins": Method("trades closed with a gain, after costs", partial(_trading, name="wins")),
    "losses": Method("trades closed with a loss, after costs", partial(_trading, name="losses")),
    "scratches": Method("trades that neither gained nor lost", partial(_trading, name="scratches")),
    "hit_rate": Method("trades won over trades won and lost", partial(_trading, name="hit_rate")),
    "profit_factor": Method(
        "gains of the trades won over losses of those lost", partial(_trading, name="profit_factor")
    ),
    "payoff": Method("mean gain of the trades won over mean loss of those lost", partial(_trading, name="payoff")),
    "expectancy": Method("mean P&L of the closed trades, after costs", partial(_trading, name="expectancy")),
    "gross_profit": Method("sum of the trades won", partial(_trading, name="gross_profit")),
    "gross_loss": Method("sum of the trades lost", partial(_trading, name="gross_loss")),
    "max_consecutive_losses": Method(
        "longest run of trades lost, in the order they ended", partial(_trading, name="max_consecutive_losses")
    ),
    "turnover": Method("dollars traded over equity at the close / 2, mean × 252", _turnover),
    "exposure": Method("mean gross weight at the close", _exposure),
    "beyond": Method("mean return of choosing and timing, less costs, × 252", lambda s: _skill(s, "choosing", "costs")),
    "usual_exposure": Method(
        "mean × 252 of what its own mean weights up to each session would have earned", lambda s: _skill(s, "exposure")
    ),
    "choosing": Method(
        "mean × 252 of the excess return less that of its usual exposure", lambda s: _skill(s, "choosing")
    ),
    "costs": Method(
        "mean × 252 of slippage, commissions, borrowed shares and margin spread, over equity",
        lambda s: _skill(s, "costs"),
    ),
    "excess": Method("mean × 252 of the return over cash", lambda s: _skill(s, "excess")),
    "llm_cost": Method(
        "sum of what the questions to its seat cost, from the cache at the price once paid", _cost_of_answers
    ),
    "calibration": Method(
        "rank correlation of each conviction with the return over its horizon; decisions.jsonl and the bars have both",
        _explain_correlation,
    ),
    "reviews": Method(
        "correlation of the mean score of each pitch with the return over its horizon",
        partial(_explain_correlation, reviews=True),
    ),
    "sharpe_se_hac": Method(
        "HAC error of the mean of z − SR·(z² − 1)/2, z the standardised excess return, × √252",
        lambda s: Parts(steps=(*_shape(s).steps, ("lags", float(newey_west_lag(len(s.excess))), "n"))),
    ),
    "sharpe_p_hac": Method(
        "Φ(−mean excess return / its HAC error)",
        lambda s: Parts(steps=(_mean(s.excess), ("lags", float(newey_west_lag(len(s.excess))), "n"))),
    ),
    "sharpe_p_iid": Method(
        "Φ(−mean excess return / (spread / √n)), no lags", lambda s: Parts(steps=(_mean(s.excess),))
    ),
    "psr": Method(PSR, _shape),
    "min_trl": Method("1 + (1 − skew·SR + (kurtosis − 1)/4·SR²)·(1.645/SR)², SR a session", _shape),
    "trials": Method("results of this strategy or on these bars that differ, this one included", _trials),
    "effective_trials": Method("independent trials that as many correlated ones amount to", _trials),
    "expected_max_sharpe": Method("expected largest of as many normal numbers × spread of the Sharpe ratios", _trials),
    "dsr": Method(
        f"{PSR} less the best by luck", lambda s: _shape(s, ("best by luck, a year", "expected_max_sharpe", ""))
    ),
    "dsr_effective": Method(
        f"{PSR} less the best of the effective trials by luck",
        lambda s: _shape(s, ("best by luck, a year", "expected_max_sharpe_effective", "")),
    ),
    "timing_percentile": Method("share of all shifts of the weights against the bars in time that earn less"),
    "timing_p": Method("share of all shifts of the weights against the bars in time that earn as much"),
    "detectable_sharpe": Method("(1.645 + 0.842)·√(252/n), n the sessions", _shape),
    "rho_1": Method("sum of products of deviations with those a session earlier over that of their squares", _lag_one),
    "ljung_box_p": Method("upper tail of n(n + 2) Σ ρₖ²/(n − k), chi-squared of ten degrees of freedom", _lags),
    "sharpe_eta": Method(
        "Sharpe ratio a session × Lo's η",
        _from(SHARPE, ("η of a year", "eta", ""), ("η by the first lag", "eta_ar1", "")),
    ),
    "eta": Method("252 / √(252 + 2 Σ (252 − k)·ρₖ); a history shorter than two years has none", _lags),
    "block_length": Method("Politis and White's mean block for the stationary bootstrap of the excess returns", _lags),
    "max_drawdown_band": Method(
        "largest drawdown in 90 % of 10,000 histories redrawn in blocks",
        _from(("largest drawdown", "max_drawdown", "%"), ("median", "max_drawdown_50", "%"), BLOCKS),
    ),
    **{
        key: Method("of two accounts on the same sessions", command=PAIR)
        for key in (
            *("sharpe_difference", "ci", "paired_ci", "se_hac", "p", "p_hac", "correlation", "detectable_difference"),
            *("power", "sessions_needed", "block_length_paired"),
        )
    },
    **{
        key: Method("of the best of many columns of returns", command=SWEEP)
        for key in (
            *("trials_swept", "effective_trials_swept", "best_sharpe", "expected_maximum_sharpe", "pbo"),
            *("expected_maximum_sharpe_effective", "reality_check_p", "dsr_of_best", "dsr_effective_of_best"),
            *("psr_of_best", "prob_oos_loss", "is_oos_slope", "minimum_backtest_years"),
        )
    },
}
"""How each metric of the catalogue is worked out, by its key."""

BY_SYMBOL: dict[str, Callable[[AccountSeries, str], Parts]] = {"turnover": _turnover, "exposure": _exposure}
"""Numbers that are no returns and yet sums over symbols."""
