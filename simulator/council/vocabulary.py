"""Words of a trading desk: what models write where an answer asks for a direction, a view or a ticker.

Words that may mean two things are listed as unclear and asked about: who holds nothing sells short by "sell", who holds
something gets out by it.
"""

from __future__ import annotations

from simulator.llm.normalise import Vocabulary

LONG = (
    "long|go long|buy|strong buy|bull|bullish|overweight|compra|comprar|kaufen|acheter|largo|лонг"
    "|做多|多头|看多|看涨|买入|買入|買い|ロング|강세|매수|롱"
)
SHORT = (
    "short|go short|sell short|short sell|bear|bearish|corto|шорт"
    "|做空|空头|看空|看跌|卖空|賣空|空売り|ショート|약세|공매도|숏"
)
FLAT = "flat|neutral|no trade|no position|stay flat|stay out|stand aside|sidelines|cash|中性|中立|观望|觀望|空仓"
UP = "positive|upside|up"
DOWN = "negative|downside|down"
MIXED = "mixed|sideways|balanced"

SELL = (
    "sell|exit|reduce|avoid|close|trim|cover|underweight|liquidate|unwind|verkaufen|vendre|vender"
    "|卖出|賣出|卖|平仓|平倉|减仓|減倉|回避|売り|매도"
)
KEEP = "hold|keep|wait|maintain|持有"
BOTH = "hedge|spread|pair|straddle"

FILLERS = (
    "a|the|position|trade|bias|view|stance|direction|outlook|strong|strongly|very|moderate|moderately|slight|slightly"
    "|mild|mildly|cautious|cautiously|somewhat|leaning|net"
    "|etf|etfs|us|usa|equity|stock|stocks|share|shares|nyse|nysearca|arca|nasdaq|amex|bats|ticker|symbol|fund|trust"
    "|spdr|s|p|500|invesco|ishares|vanguard|index|series|inc|corp|usd"
)
WRAPPERS = (
    "pitch|pitches|research|pack|review|reviews|chairman|council|decision|decisions|checkpoint|trade|trades|manager|pm"
    "|portfolio|idea|proposal|position"
)


def _split(words: str) -> frozenset[str]:
    return frozenset(words.split("|"))


VOCABULARY = Vocabulary(
    meanings={
        "LONG": _split(LONG),
        "SHORT": _split(SHORT),
        "FLAT": _split(FLAT),
        "Bullish": _split(f"{LONG}|{UP}"),
        "Bearish": _split(f"{SHORT}|{DOWN}"),
        "Neutral": _split(f"{FLAT}|{MIXED}"),
    },
    unclear={
        **dict.fromkeys(_split(SELL), "SHORT, or getting out"),
        **dict.fromkeys(_split(KEEP), "FLAT, or keeping what is held"),
        **dict.fromkeys(_split(BOTH), "more than one direction"),
    },
    fillers=_split(FILLERS),
    wrappers=_split(WRAPPERS),
)
