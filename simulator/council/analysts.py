"""The offline analysts: rules that answer in a stage's schema from the facts in the prompt, and from nothing else.

They stand in for models, so that a council runs without key, network or cost, and through the same prompts, parser,
cache and budget as with one. They are no LLM, and everything that rests on them says so (`LABEL`).

    RULES["<model in the seat>/<title of the schema>"](prompt) ─► answer, JSON-able
    prompt = {"facts": the parsed ```json block of the last user message, "system": …, "seat": …}

    managers     trend       price against its averages and its own past
                 reversion   stretched moves that come back
                 risk        volatility falling or rising
                 carry       return in excess of cash, per unit of volatility
                 breakout    new highs and lows of the channel
    researchers  macro       long horizons      narrative   short horizons
    reviewers    the managers: a rubric, each through its own lens
    chairman     the score-weighted vote
    checkpoints  who holds a thesis, by how far it has moved since entry and what the own lens says now
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import fsum
from typing import TYPE_CHECKING, Any

from simulator.council.vote import decide_by_vote
from simulator.number_format import decimals, price_text, round_price

if TYPE_CHECKING:
    from simulator.council.records import (
        ChairmanAnswer,
        CheckpointAnswer,
        PickedAnswer,
        PitchAnswer,
        ResearchAnswer,
        ReviewAnswer,
    )

LABEL = "rule-based analysts, no LLM"

VERSION = "15cdd56a"
"""Stands behind the model's name in every question. Whoever changes an answer of a rule changes it too, lest the rule
meet an older one's answers in the cache; tests/council/test_question_keys.py notices."""

Facts = Mapping[str, Any]
Known = Mapping[str, float]


@dataclass(frozen=True)
class View:
    """A manager's view of one symbol. `strength` ranks symbols of equal |conviction|; distances are in ATR."""

    conviction: int
    strength: float
    bullets: tuple[str, ...]
    indicators: tuple[str, ...]
    horizon: str
    stop_atr: float
    target_atr: float


# ---------------------------------------------------------------------------------------------------------- managers


def trend(symbol: str, known: Known, _market: Facts) -> View:
    """Long what stands above its averages and its own past, short what stands below all of them."""
    names = ("sma_50_distance_pct", "sma_200_distance_pct", "return_63_pct", "return_252_pct")
    votes = sum(_sign(known[name]) for name in names if name in known)
    conviction = _sign(votes) * (abs(votes) // 2)
    bullets = (
        f"{symbol} stands {_at(known, 'sma_200_distance_pct')} from its 200-session average and "
        f"{_at(known, 'sma_50_distance_pct')} from its 50-session one.",
        f"It returned {_at(known, 'return_63_pct')} over 63 sessions and {_at(known, 'return_252_pct')} over 252: "
        f"{votes:+d} of 4 signs point up.",
        _pace(known),
    )
    strength = known.get("return_63_pct", 0.0)
    return View(conviction, strength, bullets, _cite(known, *names, "macd_pct"), "4-8 weeks", 3.0, 6.0)


def reversion(symbol: str, known: Known, _market: Facts) -> View:
    """Buy what fell too far within a rise, sell what rose too far; nothing in between."""
    rsi, stretch = known.get("rsi_14", 50.0), known.get("sma_20_distance_pct", 0.0) / _atr_pct(known)
    rising = known.get("sma_200_distance_pct", 0.0) > 0
    if rsi < 30 or stretch < -2:
        conviction = 2 if rising else 1
    elif rising and (rsi < 42 or stretch < -0.8):
        conviction = 1
    elif rsi > 80 or stretch > 3 or (not rising and rsi > 65):
        conviction = -1
    else:
        conviction = 0
    bullets = (
        f"RSI(14) of {symbol} is {rsi:.1f}; below 30 is oversold, above 80 overbought.",
        f"The close lies {stretch:+.1f} ATR from its 20-session average; beyond 2 it tends to come back.",
        f"Over 5 sessions it moved {_at(known, 'return_5_pct')}, and it stands {_at(known, 'sma_200_distance_pct')} "
        f"from its 200-session average: {'its long rise is whole' if rising else 'it has no long rise to go back to'}.",
    )
    names = ("rsi_14", "sma_20_distance_pct", "return_5_pct")
    return View(conviction, -stretch, bullets, _cite(known, *names), "1-2 weeks", 2.5, 3.0)


def risk(symbol: str, known: Known, market: Facts) -> View:
    """Hold while volatility falls and the loss from the high is small; stand aside or sell when both turn."""
    short, long = known.get("volatility_21_pct"), known.get("volatility_63_pct")
    ratio = short / long if short is not None and long else 1.0
    drawdown, fear = known.get("drawdown_252_pct", 0.0), market.get("vix", {}).get("level")
    below = known.get("sma_50_distance_pct", 0.0) < 0
    if ratio < 0.95 and drawdown > -5 and (short or 0.0) < 35:
        conviction = 2
    elif ratio < 1.2 and drawdown > -8:
        conviction = 1
    elif below and (ratio > 1.5 or (fear is not None and fear > 30)):
        conviction = -1
    else:
        conviction = 0
    feared = f"VIX stands at {fear:.1f}" if fear is not None else "No volatility index is at hand"
    bullets = (
        f"Volatility of {symbol} over 21 sessions is {_at(known, 'volatility_21_pct', sign=False)} a year, "
        f"{ratio:.2f} times that over 63.",
        f"It lies {_at(known, 'drawdown_252_pct')} from its highest close of the year.",
        f"{feared}; one ATR is {_atr_pct(known):.2f} % of the price, so a stop three ATR away "
        f"costs {3 * _atr_pct(known):.1f} % of what is put in.",
    )
    names = ("volatility_21_pct", "volatility_63_pct", "drawdown_252_pct", "atr_14")
    strength = ratio - 1 if conviction < 0 else 1 - ratio
    return View(conviction, strength, bullets, _cite(known, *names), "2-4 weeks", 3.0, 6.0)


def carry(symbol: str, known: Known, market: Facts) -> View:
    """Hold what pays more than cash for the volatility it costs."""
    cash = market.get("cash_yield_pct", 0.0)
    excess = known.get("return_252_pct", cash) - cash
    ratio = excess / max(known.get("volatility_63_pct", 20.0), 0.1)
    conviction = 2 if ratio >= 1.0 else 1 if ratio >= 0.25 else -1 if ratio <= -1.0 else 0
    paid = (
        f"cash pays {cash:.1f} %" if "cash_yield_pct" in market else "the yield of cash is not known and taken as 0 %"
    )
    bullets = (
        f"Over 252 sessions {symbol} returned {_at(known, 'return_252_pct')}, {excess:+.1f} points beside cash; "
        f"{paid}.",
        f"Per point of volatility ({_at(known, 'volatility_63_pct', sign=False)} a year) that is {ratio:+.2f}; "
        f"above 1 is well paid, below 0.25 is not worth leaving cash for.",
        f"It lies {_at(known, 'drawdown_252_pct')} from its highest close of the year.",
    )
    names = ("return_252_pct", "volatility_63_pct", "drawdown_252_pct")
    return View(conviction, ratio, bullets, _cite(known, *names), "8-12 weeks", 4.0, 8.0)


def breakout(symbol: str, known: Known, _market: Facts) -> View:
    """Follow the close out of its 55-session channel, more carefully out of its 20-session one."""
    close = known["close"]
    high, low = known.get("prior_high_55", close), known.get("prior_low_55", close)
    place = (close - low) / (high - low) if high > low else 0.5
    digits = decimals(close)
    above_average = known.get("sma_200_distance_pct", 0.0) > 0
    if place > 1:
        conviction = 2
    elif close > known.get("prior_high_20", close) or (place > 0.8 and above_average):
        conviction = 1
    elif place < 0:
        conviction = -1 if above_average else -2
    elif close < known.get("prior_low_20", close) and not above_average:
        conviction = -1
    else:
        conviction = 0
    bullets = (
        f"{symbol} closed at {close:.{digits}f}; the 55 sessions before ran from {low:.{digits}f} to "
        f"{high:.{digits}f}.",
        f"That is {100 * place:.0f} % of the way up the channel; above 100 % is a new high, below 0 % a new low.",
        f"The 20-session channel runs from {known.get('prior_low_20', close):.{digits}f} to "
        f"{known.get('prior_high_20', close):.{digits}f}, and one ATR is {_atr_pct(known):.2f} % of the price.",
    )
    names = ("close", "prior_high_55", "prior_low_55", "prior_high_20")
    return View(conviction, place - 0.5, bullets, _cite(known, *names), "3-6 weeks", 3.0, 6.0)


Lens = Callable[[str, Known, Facts], View]

LENSES: dict[str, Lens] = {f.__name__: f for f in (trend, reversion, risk, carry, breakout)}


def pitch(lens: Lens, prompt: Facts) -> PitchAnswer:
    """Return the pitch of the symbol on which the lens is most convinced."""
    market, packs = prompt["facts"]["market"], prompt["facts"].get("research", [])
    symbols: dict[str, Known] = market["symbols"]
    # A fund that hardly moves is cash to be compared with, not an instrument to have a view on.
    moving = {symbol: known for symbol, known in symbols.items() if not known.get("volatility_63_pct", 100.0) < 2.0}
    candidates = (moving or symbols).items()
    views = {symbol: _heed_research(packs, symbol, lens(symbol, known, market)) for symbol, known in candidates}
    symbol = min(views, key=lambda s: (-abs(views[s].conviction), -abs(views[s].strength), s))
    view, known = views[symbol], market["symbols"][symbol]
    sign, close, atr = _sign(view.conviction), known["close"], known["close"] * _atr_pct(known) / 100
    stop = _level(close, -sign * view.stop_atr * atr) if sign else None
    target = _level(close, sign * view.target_atr * atr) if sign else None
    shown = price_text(close)
    return {
        "instrument": symbol,
        "direction": "LONG" if sign > 0 else "SHORT" if sign < 0 else "FLAT",
        "horizon": view.horizon,
        "thesis_bullets": list(view.bullets),
        "indicators": list(view.indicators),
        "conviction": view.conviction,
        "invalidation": f"Nothing is proposed; a move of two ATR from {shown} would reopen the question."
        if stop is None
        else f"A close {'below' if sign > 0 else 'above'} {price_text(stop)}, {view.stop_atr:g} ATR from {shown}.",
        "stop": stop,
        "target": target,
    }


def _heed_research(packs: Sequence[Facts], symbol: str, view: View) -> View:
    """Full conviction is cut to half where every research pack takes the other side."""
    against = "Bearish" if view.conviction > 0 else "Bullish"
    stances = [pack["consensus_map"].get(symbol) for pack in packs]
    if abs(view.conviction) < 2 or not stances or any(stance != against for stance in stances):
        return view
    why = f"All research calls {symbol} {against}, so conviction is cut to {_sign(view.conviction):+d}."
    return replace(view, conviction=_sign(view.conviction), bullets=(*view.bullets, why))


# --------------------------------------------------------------------------------------------------------- reviewers


def review(lens: Lens, prompt: Facts) -> ReviewAnswer:
    """Apply the rubric to one pitch, with the reviewer's own lens on the same symbol as a second opinion."""
    facts = prompt["facts"]
    market, idea = facts["market"], facts["pitches"][facts["review"]]
    others = [other for label, other in facts["pitches"].items() if label != facts["review"]]
    symbol = idea["instrument"]
    known = market["symbols"][symbol]
    own = lens(symbol, known, market)
    scores = {
        "clarity": _clarity(idea),
        "edge_plausibility": _edge(idea, known, own),
        "timing_catalyst": _timing(idea, known, market),
        "risk_definition": _definition(idea, known),
        "indicator_integrity": _integrity(idea, known),
        "originality": _originality(idea, others),
        "tradeability": 4
        if idea["direction"] == "FLAT"
        else 9
        if _atr_pct(known) < 2
        else 7
        if _atr_pct(known) < 4
        else 5,
    }
    return {
        "scores": {name: max(1, min(10, round(score))) for name, score in scores.items()},
        "kill_shot": _kill_shot(idea, own, known, market),
        "flip_condition": _flip_condition(idea, known),
    }


def _clarity(idea: Facts) -> float:
    numbered = sum(bool(re.search(r"\d", bullet)) for bullet in idea["thesis_bullets"])
    return 4 + min(numbered, 4) + bool(re.search(r"\d", idea["invalidation"]))


def _edge(idea: Facts, known: Known, own: View) -> float:
    """Score whether longer horizons point the way the pitch does, and its conviction is no louder than they are."""
    sign = _sign(idea["conviction"])
    if not sign:
        return 5.0
    names = ("return_21_pct", "return_63_pct", "sma_50_distance_pct", "sma_200_distance_pct")
    agreeing = sum(sign * _sign(known[name]) for name in names if name in known)
    too_loud = abs(idea["conviction"]) == 2 and agreeing < 2
    return 5 + 0.75 * agreeing + sign * _sign(own.conviction) - 2 * too_loud


def _timing(idea: Facts, known: Known, market: Facts) -> float:
    sign = _sign(idea["conviction"])
    gaining = _sign(known.get("macd_pct", 0.0) - known.get("macd_signal_pct", 0.0))
    soon = [event for event in market.get("events", []) if event["date"] <= market["as_of"][:10]]
    return (
        5
        + 2 * sign * gaining
        + sign * _sign(known.get("return_5_pct", 0.0))
        - bool(soon and abs(idea["conviction"]) == 2)
    )


def _definition(idea: Facts, known: Known) -> float:
    if idea["direction"] == "FLAT":
        return 5
    if idea["stop"] is None or idea["target"] is None:
        return 2
    close, atr = known["close"], known["close"] * _atr_pct(known) / 100
    sign = _sign(idea["conviction"])
    away, reward = sign * (close - float(idea["stop"])), sign * (float(idea["target"]) - close)
    if away <= 0 or reward <= 0:
        return 1
    return 4 + 2 * (reward >= 1.2 * away) + 1.5 * (reward >= 1.8 * away) + 1.5 * (1.5 <= away / atr <= 4.5)


def _integrity(idea: Facts, known: Known) -> float:
    """Score the share of cited indicators that agree with the facts; other texts count neither way."""
    cited = [re.fullmatch(r"(\w+)\s*[:=]?\s*([-+]?\d[\d.]*)", text.strip()) for text in idea["indicators"]]
    # Rounding is granted to 0.01, of prices below $10 to a thousandth of the close.
    hair = dict.fromkeys(known, 0.01) | {
        name: min(0.01, 0.001 * known["close"]) for name in known if name.startswith(("close", "atr", "prior"))
    }
    right: list[bool] = [
        abs(known[m[1]] - float(m[2])) <= 0.005 * abs(known[m[1]]) + hair[m[1]] for m in cited if m and m[1] in known
    ]
    return 3 + 6 * fsum(right) / len(right) if right else 5.0


def _originality(idea: Facts, others: Sequence[Facts]) -> float:
    same = sum((o["instrument"], o["direction"]) == (idea["instrument"], idea["direction"]) for o in others)
    return 8 - 1.5 * same


def _kill_shot(idea: Facts, own: View, known: Known, market: Facts) -> str:
    sign = _sign(idea["conviction"])
    if not sign:
        return f"Standing aside earns only cash while {idea['instrument']} moves {_atr_pct(known):.2f} % a day (ATR)."
    if sign * own.conviction < 0:
        return f"The same facts say the opposite: {own.bullets[0]}"
    if own.conviction == 0:
        return f"Nothing confirms it: {own.bullets[0]}"
    if events := market.get("events", []):
        return (
            f"{events[0]['event']} on {events[0]['date']} can overturn it at once, and the pitch does not mention it."
        )
    if sign > 0 and known.get("rsi_14", 50.0) > 65:
        return f"It comes late: RSI(14) is already {known['rsi_14']:.1f}."
    return (
        f"One ATR is {_atr_pct(known):.2f} % of the price: an ordinary week can reach the stop before the thesis does."
    )


def _flip_condition(idea: Facts, known: Known) -> str:
    sign = _sign(idea["conviction"])
    if sign > 0 and "prior_low_20" in known:
        lowest = price_text(known["prior_low_20"])
        return f"A close below {lowest}, the lowest price of 20 sessions, would make it a SHORT."
    if sign < 0 and "prior_high_20" in known:
        highest = price_text(known["prior_high_20"])
        return f"A close above {highest}, the highest price of 20 sessions, would make it a LONG."
    return f"A move of two ATR from {price_text(known['close'])} would decide the direction."


# ------------------------------------------------------------------------------------------------------- checkpoints

BACK = 1.5
"""ATR against the position from which half of it goes, and in its favour from which its stop moves to the entry."""
WRONG = 2.5
"""ATR against the position at which all of it goes."""
AHEAD = 1.0
"""ATR in its favour from which a rise that gains pace is followed with the other half."""


def checkpoint(lens: Lens | None, prompt: Facts) -> CheckpointAnswer:
    """Return the holder's review of its thesis; the chairman has no lens and goes by the market since entry alone."""
    market, thesis, position = (prompt["facts"][name] for name in ("market", "thesis", "position"))
    symbol, before = thesis["instrument"], thesis["convictions"][-1]["conviction"]
    known, sign = market["symbols"][symbol], _sign(before)
    view = None if lens is None else lens(symbol, known, market)
    gain = position.get("return_since_entry_pct", 0.0) / _atr_pct(known)
    stop = thesis["stop"]
    invalidated = stop is not None and position["state"] == "open" and sign * (known["close"] - float(stop)) <= 0
    after, why = _reread(before, view, gain, known, position["state"] == "open")
    if invalidated and after * sign > 0:
        after, why = 0, f"the close {price_text(known['close'])} lies beyond the invalidation at {price_text(stop)}"
    new_stop, new_target = None, None
    if view is not None and after * sign < 0:
        atr = known["close"] * _atr_pct(known) / 100
        new_stop = _level(known["close"], sign * view.stop_atr * atr)
        new_target = _level(known["close"], -sign * view.target_atr * atr)
    elif after and gain >= BACK and stop is not None:
        entry = round_price(position["entry"]["price"])
        new_stop = entry if sign * (entry - float(stop)) > 0 else None
    reason = f"{symbol} {gain:+.1f} ATR: {why}."
    return {
        "invalidated": invalidated,
        "conviction": after,
        "stop": new_stop,
        "target": new_target,
        "reason": reason,
    }


def _reread(before: int, view: View | None, gain: float, known: Known, is_open: bool) -> tuple[int, str]:
    """Conviction from now on, and why."""
    sign = _sign(before)
    alone = view is not None and sign * view.conviction <= 0
    gaining = sign * (known.get("macd_pct", 0.0) - known.get("macd_signal_pct", 0.0))
    if not is_open:
        return (0, "the own rules ask for it no longer, and it is not filled yet") if alone else (before, "it waits")
    if alone and gain <= -BACK:
        if gaining < 0:
            return -sign, f"more than {BACK} against the position, and neither the own rules nor MACD stand behind it"
        return 0, f"more than {BACK} against the position, and the own rules ask for it no longer"
    if gain <= -WRONG:
        return 0, f"more than {WRONG} against the position"
    if gain <= -BACK:
        return sign, f"more than {BACK} against the position, half of it is enough"
    if gain >= AHEAD and abs(before) == 1 and gaining > 0 and not alone:
        return 2 * sign, "it moves as proposed and gains pace"
    return before, "nothing has happened that was not expected"


# ------------------------------------------------------------------------------------------- researchers and chairman


def research(names: tuple[str, str], when: str, prompt: Facts) -> ResearchAnswer:
    """Return a research pack that rests on two facts: the distance from an average and a return over `when`."""
    market = prompt["facts"]["market"]
    symbols = market["symbols"]
    votes = {symbol: sum(_sign(known.get(name, 0.0)) for name in names) for symbol, known in symbols.items()}
    stance = {symbol: "Bullish" if v == 2 else "Bearish" if v == -2 else "Neutral" for symbol, v in votes.items()}
    return {
        "macro_regime": _regime(market, stance, when),
        "top_narratives": _narratives(market, names[1]),
        "consensus_map": stance,
        "tradable_candidates": [
            {
                "ticker": symbol,
                "rationale": f"{_at(known, names[0])} from its average, {_at(known, names[1])} {when}, "
                f"volatility {_at(known, 'volatility_21_pct', sign=False)} a year.",
            }
            for symbol, known in symbols.items()
            if stance[symbol] != "Neutral"
        ],
        "event_calendar": [
            event | {"impact": "High" if re.search("FOMC|CPI|NFP|payroll", event["event"], re.I) else "Medium"}
            for event in market.get("events", [])
        ],
    }


def _regime(market: Facts, stance: Mapping[str, str], when: str) -> str:
    bulls = sum(one == "Bullish" for one in stance.values())
    bears = sum(one == "Bearish" for one in stance.values())
    name = "Risk-on" if 2 * bulls > len(stance) else "Risk-off" if 2 * bears > len(stance) else "Mixed"
    parts = [f"{name} {when}: {bulls} of {len(stance)} symbols rise, {bears} fall"]
    if vix := market.get("vix"):
        year = f", higher than on {vix['percentile_252']} % of the year's days" if "percentile_252" in vix else ""
        parts.append(f"VIX {vix['level']:.1f}{year}")
    if "cash_yield_pct" in market:
        parts.append(f"cash yields {market['cash_yield_pct']:.1f} % a year")
    return "; ".join(parts)


def _narratives(market: Facts, horizon: str) -> list[str]:
    symbols = market["symbols"]
    ranked = sorted(symbols, key=lambda s: (-symbols[s].get(horizon, 0.0), s))
    swing = max(symbols, key=lambda s: (symbols[s].get("volatility_21_pct", 0.0), s))
    deepest = min(symbols, key=lambda s: (symbols[s].get("drawdown_252_pct", 0.0), s))
    narratives = [
        f"{ranked[0]} leads with {_at(symbols[ranked[0]], horizon)}"
        + (f", {ranked[-1]} trails with {_at(symbols[ranked[-1]], horizon)}." if len(ranked) > 1 else "."),
        f"{swing} swings most, at {_at(symbols[swing], 'volatility_21_pct', sign=False)} a year over 21 sessions.",
        f"The deepest loss from a high of the year is {deepest}'s {_at(symbols[deepest], 'drawdown_252_pct')}.",
    ]
    if pairs := market.get("correlations"):
        pair = max(pairs, key=lambda p: (pairs[p], p))
        narratives.append(f"{pair} move together most: correlation {pairs[pair]:.2f} over 63 sessions.")
    if events := market.get("events"):
        narratives.append(f"Next on the calendar: {events[0]['event']} on {events[0]['date']}.")
    return narratives


def screen(prompt: Facts) -> PickedAnswer:
    """Return all symbols, those that moved farthest for their volatility first."""
    symbols = prompt["facts"]["market"]["symbols"]
    moved = {
        s: abs(known.get("return_252_pct", 0.0)) / known.get("volatility_63_pct", 20.0) for s, known in symbols.items()
    }
    ranked = sorted(symbols, key=lambda s: (-moved[s], s))
    return {"symbols": ranked, "reason": f"{ranked[0]} moved farthest for its volatility over the year."}


def chairman(prompt: Facts) -> ChairmanAnswer:
    """Return the score-weighted vote, written down."""
    return decide_by_vote(prompt["facts"])


# ------------------------------------------------------------------------------------------------------------- words


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _level(close: float, away: float) -> float:
    """A stop or target, kept within a quarter of the close and four times it: no protection lies at or below 0."""
    return round_price(min(max(close + away, close / 4), close * 4))


def _atr_pct(known: Known) -> float:
    """ATR(14) in per cent of the close; 2 % while there are too few bars for one."""
    return 100 * known["atr_14"] / known["close"] if known.get("atr_14") else 2.0


def _at(known: Known, name: str, *, sign: bool = True) -> str:
    if name not in known:
        return "an unknown distance" if "distance" in name else "an unknown amount"
    return f"{known[name]:+.1f} %" if sign else f"{known[name]:.1f} %"


def _pace(known: Known) -> str:
    if "macd_pct" not in known:
        return f"It lies {_at(known, 'drawdown_252_pct')} from its highest close of the year."
    macd, signal = known["macd_pct"], known["macd_signal_pct"]
    pace = "gaining" if macd > signal else "fading" if macd < signal else "unchanged"
    return f"MACD {macd:+.2f} % against a signal of {signal:+.2f} %: the move is {pace}."


def _cite(known: Known, *names: str) -> tuple[str, ...]:
    return tuple(f"{name} {price_text(known[name])}" for name in names if name in known)


RULES: dict[str, Callable[[Facts], Mapping[str, object]]] = {
    **{f"{name}/Pitch": partial(pitch, lens) for name, lens in LENSES.items()},
    **{f"{name}/Review": partial(review, lens) for name, lens in LENSES.items()},
    **{f"{name}/CheckpointReview": partial(checkpoint, lens) for name, lens in LENSES.items()},
    "chairman/CheckpointReview": partial(checkpoint, None),
    "macro/ResearchPack": partial(research, ("sma_200_distance_pct", "return_63_pct"), "over the quarter"),
    "narrative/ResearchPack": partial(research, ("sma_20_distance_pct", "return_21_pct"), "over the month"),
    "chairman/ChairmanDecision": chairman,
    "screener/Shortlist": screen,
}
