"""`sim stats`: the golden values through the command, files as people write them, and samples with nothing to say."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from simulator.cli.stats import stats
from simulator.errors import DataError, SimError, UsageError
from simulator.stats.skill import mean_test

GOLDEN = Path(__file__).parents[1] / "stats" / "golden"

KEYS = (
    *("annual_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "max_drawdown_sessions", "calmar"),
    *("ulcer", "omega", "var_95", "cvar_95", "tail_ratio", "skew", "kurtosis", "sharpe_se_hac", "sharpe_p_hac"),
    *("sharpe_ci_low", "sharpe_ci_high", "block_length", "psr", "min_trl", "eta", "alpha", "beta", "alpha_t"),
    "information_ratio",
)

Ask = Callable[..., dict[str, Any]]


def said(*words: str | Path) -> str:
    """What the command prints; its error is raised as it is."""
    done = CliRunner().invoke(stats, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


@pytest.fixture
def ask() -> Ask:
    return lambda *words: json.loads(said(*words, "--json", "--draws", "200"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of one or more columns of returns on consecutive days, or of the text given."""

    def file(*columns: Sequence[float], text: str | bytes | None = None, name: str = "returns.csv") -> Path:
        path = tmp_path / name
        if text is None:
            days = np.datetime64("2020-01-01") + np.arange(len(columns[0]))
            head = ",".join(["date", *(chr(97 + i) for i in range(len(columns)))])
            values = zip(*columns, strict=True)
            rows = [",".join([str(day), *map(repr, map(float, row))]) for day, row in zip(days, values, strict=True)]
            text = "\n".join([head, *rows]) + "\n"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return file


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Path]:
    def unpack(name: str) -> Path:
        path = tmp_path / f"{name}.csv"
        path.write_bytes(gzip.decompress((GOLDEN / f"{name}.csv.gz").read_bytes()))
        return path

    return unpack


def expected(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(finite(v) for v in value.values())
    if isinstance(value, list):
        return all(finite(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


# Golden values


def test_metrics_through_the_command_are_those_of_performance_analytics(ask, golden):
    found = ask(golden("daily_open"), "--rf", "rf")["strategies"]
    names = {
        "total_return": "total_return",
        "cagr": "ann_return_geometric",
        "annual_return": "ann_return_arithmetic",
        "volatility": "ann_vol",
        "max_drawdown": "max_drawdown",
        "calmar": "calmar",
        "ulcer": "ulcer_index_pct_call",
        "omega": "omega_L0",
        "var_95": "var95_hist",
        "cvar_95": "es95_hist",
        "skew": "skew_moment",
        "kurtosis": "kurt_moment",
    }
    for strategy in ("strat_a", "strat_b", "bench"):
        want, got = expected("performance_analytics")[strategy]["base"], found[strategy]
        for ours, theirs in names.items():
            assert got[ours] == pytest.approx(want[theirs], rel=1e-9), ours
        assert got["sharpe"] == pytest.approx(want["sharpe_period_excess"] * math.sqrt(252), rel=1e-9)
        assert got["sortino"] == pytest.approx(want["sortino_period_excess_mar0"] * math.sqrt(252), rel=1e-9)
        assert got["tail_ratio"] == pytest.approx(want["quantile95_type7"] / -want["quantile05_type7"], rel=1e-9)
        assert got["max_drawdown_sessions"] == want["max_dd_length"] - 1
        assert got["max_drawdown_open"]


def test_inference_through_the_command_is_that_of_r(ask, golden):
    found = ask(golden("daily_open"), "--rf", "rf", "--benchmark", "bench")["strategies"]
    for strategy in ("strat_a", "strat_b"):
        got, want = found[strategy], expected("sharpe_inference")[f"daily_{strategy}"]
        relative = expected("performance_analytics")[strategy]["relative"]
        assert got["eta"] == pytest.approx(want["lo_eta_q252"], rel=1e-9)
        assert got["ljung_box_p"] == pytest.approx(want["ljung_box_10_p"], rel=1e-9)
        assert got["alpha"] == pytest.approx(relative["alpha_ann_arithmetic"], rel=1e-9)
        assert got["beta"] == pytest.approx(relative["beta"], rel=1e-9)
        assert got["information_ratio"] == pytest.approx(relative["information_ratio_arithmetic"], rel=1e-9)
    want = expected("performance_analytics")["strat_a"]["inference"]["ref_ann_0.00"]
    assert found["strat_a"]["psr"] == pytest.approx(want["psr_2012"], rel=1e-9)
    assert found["strat_a"]["min_trl"] == pytest.approx(want["mintrl_2012_obs"], rel=1e-9)


def test_against_a_benchmark_the_verdicts_test_is_of_what_lies_beyond_its_returns_column_or_file(ask, write):
    rng = np.random.default_rng(3)
    market = rng.normal(0.0005, 0.01, 300)
    better, like = market + rng.normal(0.002, 0.004, 300), market + rng.normal(0.0, 0.004, 300)
    both = write(better, like, market)
    found = ask(both, "--benchmark", "c")
    test = mean_test(better - market)
    assert found["strategies"]["a"]["beyond"]["p"] == test.p < 0.001
    tested = "skill not assessable without positions: tested against the returns of c only."
    assert f"300\xa0sessions: above c, by more than luck explains; {tested}" in found["strategies"]["a"]["verdict"]
    assert f"cannot be told from c; {tested}" in found["strategies"]["b"]["verdict"]
    assert "tested against cash only." in found["benchmark_metrics"]["verdict"]
    days = np.datetime64("2020-01-01") + np.arange(300)
    rows = [f"{day},{value!r}" for day, value in zip(days, map(float, market), strict=True)]
    alone = write(text="\n".join(["date,c", *rows]), name="market.csv")
    apart = ask(write(better, like, name="both.csv"), "--benchmark", alone)
    assert apart["strategies"] == found["strategies"]
    late = write(text="\n".join(["date,c", *rows[5:]]), name="late.csv")
    short = ask(write(better, like, name="both.csv"), "--benchmark", late)["strategies"]["a"]
    assert short["beyond"] is None
    assert short["verdict"].startswith("Not tested against c, which lacks some of its sessions. ")
    assert "tested against cash only." in short["verdict"]
    holed = write(text="\n".join(["date,c", *rows[:7], *rows[8:]]), name="holed.csv")
    with pytest.raises(DataError, match=r"holed.csv: lacks 2020-01-08, a session of .*both.csv"):
        ask(write(better, like, name="both.csv"), "--benchmark", holed)
    with pytest.raises(UsageError, match="has 2 columns"):
        ask(write(better), "--benchmark", write(better, like, name="both.csv"))
    with pytest.raises(DataError, match="has no date in common"):
        ask(write(better), "--benchmark", write(text="date,c\n1999-01-04,0.01\n", name="old.csv"))


@pytest.mark.parametrize(("case", "blocks"), [("S8_all", 8), ("S12_all", 12)])
def test_a_sweep_through_the_command_has_the_overfitting_of_r_pbo(case, blocks, ask, golden):
    want, found = expected("pbo")[case], ask("sweep", golden("sweep_open"), "--blocks", blocks)
    assert found["pbo"] == pytest.approx(want["pbo_rank_over_Nplus1"], rel=1e-9)
    assert found["prob_oos_loss"] == pytest.approx(want["prob_oos_loss"], rel=1e-9)
    assert found["is_oos_slope"] == pytest.approx(want["slope_Rbn_on_Rn"], rel=1e-9)
    assert found["is_oos_intercept"] == pytest.approx(want["intercept_Rbn_on_Rn"], rel=1e-9)
    assert sum(found["pbo_logits"]["counts"]) == found["pbo_splits"] == math.comb(blocks, blocks // 2)


def test_a_sweep_finds_the_planted_edge_and_calls_the_rest_luck(ask, golden):
    found = ask("sweep", golden("sweep_open"), "--draws", "1000")
    want = expected("selection")["romano_wolf_sharpe_stepdown"]
    assert found["best"] == "s01"
    assert found["reality_check_p"] < 0.01
    assert [c["name"] for c in found["configurations"] if c["romano_wolf_p"] <= 0.05] == ["s01"]
    for got, ratio, p in zip(found["configurations"], want["sharpe_period"], want["p_adjusted"], strict=True):
        assert got["sharpe"] == pytest.approx(ratio * math.sqrt(252), rel=1e-9)
        assert abs(got["romano_wolf_p"] - p) < 0.12
    assert found["notes"] == ["There is no column of dates: rows are taken to be consecutive sessions, oldest first."]


def test_trades_through_the_command_have_their_known_statistics(ask, golden, write):
    found = ask(write([0.01, -0.02]), "--trades", golden("trades_open"))["strategies"]["a"]
    want = expected("trades")
    assert found["hit_rate"] == pytest.approx(want["hit_rate_excluding_scratches"], rel=1e-9)
    assert found["profit_factor"] == pytest.approx(want["profit_factor"], rel=1e-9)
    assert found["payoff"] == pytest.approx(want["payoff_ratio"], rel=1e-9)
    assert found["expectancy"] == pytest.approx(want["expectancy_per_trade"], rel=1e-9)


# Shape of the answer


def test_every_promised_key_is_there_and_null_only_with_a_reason(ask, golden, write):
    for file, extra in ((golden("daily_open"), ("--benchmark", "bench", "--rf", "rf")), (write([0.01]), ())):
        found = ask(file, *extra)
        for values in found["strategies"].values():
            assert set(KEYS) <= values.keys()
            assert all(values["reasons"][key] for key in KEYS if values[key] is None)
        assert finite(found)


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(golden):
    file = golden("daily_open")
    one = [said(file, "--json", "--draws", "300", "--seed", seed) for seed in ("1", "1", "2")]
    assert one[0] == one[1] != one[2]


def test_a_rate_and_a_column_of_it_are_the_same_risk_free_return(ask, write):
    r = np.random.default_rng(0).normal(0.001, 0.01, 300)
    per_session = 1.04 ** (1 / 252) - 1
    by_rate = ask(write(r), "--rf", "4%", "--periods", "252")["strategies"]["a"]
    by_column = ask(write(r, np.full(300, per_session)), "--rf", "b", "--periods", "252")["strategies"]["a"]
    assert by_rate["sharpe"] == pytest.approx(by_column["sharpe"], rel=1e-9)
    assert by_rate["sharpe"] == pytest.approx(
        ask(write(r), "--rf", "0.04", "--periods", "252")["strategies"]["a"]["sharpe"], rel=1e-12
    )


def test_parquet_csv_percentages_and_decimal_commas_are_the_same_returns(ask, tmp_path, write):
    import pyarrow
    from pyarrow import parquet

    r = np.round(np.random.default_rng(1).normal(0.0005, 0.01, 120), 6)
    days = (np.datetime64("2020-01-01") + np.arange(120)).astype("datetime64[ns]")
    parquet.write_table(pyarrow.table({"mine": r, "date": days}), tmp_path / "r.parquet")
    text = [(str(day)[:10], value) for day, value in zip(days, r, strict=True)]
    files = {
        "parquet": (tmp_path / "r.parquet",),
        "csv": (write(text="Date,mine\n" + "".join(f"{d},{v}\n" for d, v in text), name="1.csv"),),
        "newest first": (write(text="date,mine\n" + "".join(f"{d},{v}\n" for d, v in text[::-1]), name="2.csv"),),
        "percent signs": (
            write(text="date\tmine\n" + "".join(f"{d}\t{100 * v:.10g}%\n" for d, v in text), name="3.csv"),
        ),
        "decimal commas": (
            write(text="date;mine\r\n" + "".join(f"{d};{str(v).replace('.', ',')}\r\n" for d, v in text), name="4.csv"),
        ),
        "option": (
            write(text="date,mine\n" + "".join(f"{d},{100 * v:.10g}\n" for d, v in text), name="5.csv"),
            "--percent",
        ),
        "packed": (
            write(text=gzip.compress(("date,mine\n" + "".join(f"{d},{v}\n" for d, v in text)).encode()), name="6"),
        ),
    }
    found = {how: ask(*words)["strategies"]["mine"] for how, words in files.items()}
    for how, values in found.items():
        assert values["cagr"] == pytest.approx(found["csv"]["cagr"], rel=1e-9), how
        assert (values["from"], values["to"]) == ("2020-01-01", "2020-04-29"), how
    assert "Rows were newest first; they were sorted." in ask(*files["newest first"])["notes"]


def test_a_strategy_that_starts_late_is_judged_over_its_own_sessions(ask, write):
    found = ask(write(text="date,old,new\n2024-01-02,0.01,\n2024-01-03,0.02,0.03\n2024-01-04,-0.01,0.01\n"))[
        "strategies"
    ]
    assert (found["old"]["sessions"], found["new"]["sessions"], found["new"]["from"]) == (3, 2, "2024-01-03")


# Samples with nothing to say

EDGES = {
    "constant": np.full(100, 0.001),
    "all zero": np.zeros(100),
    "one observation": np.array([0.01]),
    "total loss": np.r_[np.full(50, 0.01), -1.0, np.full(50, 0.01)],
    "more than a total loss": np.r_[np.full(50, 0.01), -1.5, np.full(50, 0.01)],
    "59 sessions": np.tile([0.01, -0.008], 30)[:59],
    "only gains": np.abs(np.random.default_rng(0).normal(0, 0.01, 80)),
    "one move": np.r_[np.zeros(60), 0.01, np.zeros(60)],
}


@pytest.mark.parametrize("name", EDGES)
def test_a_sample_without_a_statistic_has_a_reason_in_json_table_and_page(name, ask, write, tmp_path):
    file = write(EDGES[name])
    values = ask(file)["strategies"]["a"]
    assert finite(values)
    assert all(values["reasons"][key] for key in KEYS if values[key] is None)
    page = tmp_path / "page.html"
    table = said(file, "--draws", "200", "--html", page)
    assert "nan" not in table.lower()
    assert "inf" not in re.sub(r"information|inference", "", table.lower())
    assert page.stat().st_size > 5000


def test_sharpe_of_constant_returns_is_null_and_of_a_total_loss_is_not(ask, write):
    constant, ruined = (ask(write(EDGES[name]))["strategies"]["a"] for name in ("constant", "total loss"))
    assert constant["sharpe"] is None
    assert "do not vary" in constant["reasons"]["sharpe"]
    assert ruined["total_return"] == ruined["max_drawdown"] == -1.0
    assert ruined["sharpe"] is not None
    beyond = ask(write(EDGES["more than a total loss"]))["strategies"]["a"]
    assert "more than everything" in beyond["reasons"]["cagr"]


def test_below_sixty_sessions_the_table_withholds_what_json_gives_flagged(ask, write):
    file = write(EDGES["59 sessions"])
    values = ask(file)["strategies"]["a"]
    assert values["annualised_withheld"]
    assert values["sharpe"] is not None
    table = said(file, "--draws", "200")
    assert re.search(r"Sharpe +withheld", table)
    assert "59 sessions: too few for a verdict" in " ".join(table.split())
    longer = ask(write(np.tile([0.01, -0.008], 30)))["strategies"]["a"]
    assert not longer["annualised_withheld"]


def test_no_trades_and_one_trade_are_defined_or_have_a_reason(ask, write):
    file = write([0.01, -0.02, 0.03])
    none = ask(file, "--trades", write(text="net\n", name="none.csv"))["strategies"]["a"]
    one = ask(file, "--trades", write(text="net\n12.5\n", name="one.csv"))["strategies"]["a"]
    assert (none["trades"], none["hit_rate"], one["hit_rate"]) == (0.0, None, 1.0)
    assert none["reasons"]["profit_factor"] == "no trade was closed"
    assert one["reasons"]["profit_factor"] == "no trade lost"
    fills = "symbol,quantity,price,commission\nSPY,10,100,1\nSPY,-10,110,1\n"
    assert ask(file, "--trades", write(text=fills, name="f.csv"))["strategies"]["a"]["gross_profit"] == 98.0


# What cannot be meant

REFUSED = {
    "a hole": ("date,a\n2024-01-02,0.1\n2024-01-03,\n2024-01-04,0.1\n", r'returns\.csv:3: column "a" has no return'),
    "a duplicate date": (
        "date,a\n2024-01-02,0.1\n2024-01-02,0.2\n",
        r"returns\.csv:3: 2024-01-02 stands here and in line 2",
    ),
    "prices": ("date,a\n" + "".join(f"2024-01-{i:02},{100 + i % 3}\n" for i in range(1, 29)), "holds prices"),
    "an equity curve": (
        "date,a\n" + "".join(f"2024-01-{i:02},{1 + i % 3 / 100}\n" for i in range(1, 29)),
        "holds prices",
    ),
    "percentages": ("date,a\n" + "".join(f"2024-01-{i:02},{(-1) ** i * 0.8}\n" for i in range(1, 29)), "--percent"),
    "row numbers": ("date,a\n" + "".join(f"2024-01-{i:02},{i}\n" for i in range(1, 29)), "counts the rows"),
    "an ambiguous date": ("date,a\n01/02/2024,0.1\n", r"returns\.csv:2: .* is not a date"),
    "a word": ("date,a\n2024-01-02,high\n", r'returns\.csv:2: "high" in column "a" is not a number'),
    "dates under another name": ("Datum,a\n2024-01-02,0.1\n", "call the column of dates"),
    "infinity": ("date,a\n2024-01-02,inf\n", r"returns\.csv:2: .* holds inf"),
    "a column twice": ("date,a,a\n2024-01-02,0,1\n", 'two columns are called "a"'),
    "a field too many": ("date,a\n2024-01-02,0,1\n", r"returns\.csv:2: has 3 fields, the header 2"),
    "no header": ("2024-01-02,0.1\n2024-01-03,0.2\n", "has no header"),
    "no strategy": ("date\n2024-01-02\n", "no column of returns"),
    "no row": ("date,a\n", "no row holds a return"),
    "nothing": ("", "is empty"),
    "an empty column": ("date,a,b\n2024-01-02,0.1,\n", 'column "b" is empty'),
    "a workbook": (b"PK\x03\x04", "save the sheet as CSV"),
    "noise": (b"\x00\x01\x02", "neither CSV nor Parquet"),
    "a torn Parquet file": (b"PAR1torn", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_named_with_place_and_mend(what, write):
    text, message = REFUSED[what]
    with pytest.raises(DataError, match=message) as error:
        said(write(text=text))
    assert error.value.mend or "Parquet" in what
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--benchmark", "c"), 'has no column "c"'),
        (("--rf", "cash"), 'has no column "cash"'),
        (("--rf", "4"), "write --rf 4% or --rf 0.04"),
        (("--rf", "b", "--benchmark", "a"), "no column left"),
        (("--trades", "t.csv"), "no file t.csv"),
    ],
)
def test_what_was_typed_wrong_is_said(words, message, write):
    with pytest.raises(UsageError, match=re.escape(message)):
        said(write(np.full(30, 0.01), np.arange(30) / 1e6), *words)


def test_a_suspicion_is_a_warning_with_its_mend(ask, write):
    r = np.random.default_rng(0).normal(0, 0.03, 30)
    months = "date,fund,rf\n" + "".join(f"{2020 + i // 12}-{i % 12 + 1:02}-28,{v:.5f},0.001\n" for i, v in enumerate(r))
    warnings = ask(write(text=months))["warnings"]
    assert any("--periods 12" in w for w in warnings)
    assert any("--rf rf" in w for w in warnings)
    wild = ask(write(np.random.default_rng(0).normal(0, 0.15, 60)))["warnings"]
    assert any("--percent" in w for w in wild)


# Two, and many


def test_two_lucky_strategies_cannot_be_told_apart_and_an_edge_can(ask, write):
    rng = np.random.default_rng(11)
    market = rng.normal(0.0003, 0.01, 1000)
    better = market + 0.0006 + rng.normal(0, 0.002, 1000)
    luck = rng.normal(0.0003, 0.01, 1000)
    assert ask("compare", write(better, market))["verdict"] == "a is better"
    assert ask("compare", write(market, better))["verdict"] == "b is better"
    found = ask("compare", write(luck, market), "--a", "a", "--b", "b")
    assert found["verdict"] == "cannot tell them apart"
    assert found["ci_low"] < 0 < found["ci_high"]
    assert 0 < found["power"] < 1
    assert "no difference" not in said("compare", write(luck, market), "--draws", "200")


def test_two_that_move_as_one_or_do_not_move_have_a_reason_instead_of_a_p(ask, write):
    r = np.random.default_rng(0).normal(0, 0.01, 100)
    for other in (r, 2 * r, np.zeros(100), EDGES["one move"][:100]):
        found = ask("compare", write(r, other))
        assert found["verdict"] == "cannot tell them apart"
        assert finite(found)
        assert found["p"] is not None or found["reasons"]["p"]


def test_compare_wants_two_columns_and_says_which_there_are(write):
    r = np.random.default_rng(0).normal(0, 0.01, (3, 50))
    with pytest.raises(UsageError, match=r"--a and --b not given; .* has a, b, c"):
        said("compare", write(*r))
    with pytest.raises(UsageError, match='both "a"'):
        said("compare", write(*r), "--a", "a", "--b", "a")


def test_a_sweep_of_noise_is_consistent_with_luck_and_failed_trials_count(ask, write):
    noise = np.random.default_rng(4).normal(0, 0.01, (12, 400))
    file = write(*noise)
    lines = file.read_text().splitlines()
    text = "\n".join([lines[0] + ",failed", *(line + "," for line in lines[1:])])
    found = ask("sweep", write(text=text))
    assert found["verdict"] == "consistent with luck given 13 trials"
    assert (found["trials"], found["failed"], len(found["configurations"])) == (13, ["failed"], 12)
    more = ask("sweep", file, "--trials", "500")
    assert more["dsr"] < found["dsr"]
    assert more["expected_maximum_sharpe"] > found["expected_maximum_sharpe"]


def test_a_sweep_of_one_or_of_nothing_that_moves_is_refused(write):
    with pytest.raises(UsageError, match="holds one configuration"):
        said("sweep", write(np.random.default_rng(0).normal(0, 0.01, 100)))
    with pytest.raises(DataError, match="returns that vary"):
        said("sweep", write(np.zeros(100), np.zeros(100)))
    with pytest.raises(DataError, match="all configurations together have 20 sessions"):
        said("sweep", write(np.arange(20) / 1e3, np.arange(20) / 1e4))


def test_a_shorter_history_takes_fewer_blocks_and_says_so(ask, write):
    found = ask("sweep", write(*np.random.default_rng(4).normal(0, 0.01, (4, 65))))
    assert (found["pbo_blocks"], found["pbo_dropped"]) == (6, 5)


# Pages


class Page(HTMLParser):
    """What a browser would fetch, and which drawings there are."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.spoken: list[str] = []
        self.open: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "object", "embed"):
            self.fetched.append(tag)
        target = given.get("href") or given.get("src") or ""
        if not target.startswith(("#", "data:")) and target:
            self.fetched.append(target)
        if given.get("role") == "img":
            self.spoken.append(given.get("aria-label") or "")


@pytest.mark.parametrize(
    ("words", "drawings"),
    [
        (("daily_open", "--rf", "rf", "--benchmark", "bench"), 3),
        (("compare", "daily_open", "--a", "strat_a", "--b", "strat_b"), 3),
        (("sweep", "sweep_open"), 2),
    ],
)
def test_a_page_stands_alone_and_every_drawing_has_its_words(words, drawings, golden, tmp_path):
    target = tmp_path / "pages" / "page.html"
    words = [golden(word) if word.endswith("_open") else word for word in words]
    assert "page:" in said(*words, "--draws", "200", "--html", target)
    content = target.read_text()
    page = Page(content)
    assert page.fetched == []
    assert "url(" not in content
    assert len(page.spoken) == drawings
    assert all(len(text) > 30 for text in page.spoken)
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", content.lower())
    assert target.stat().st_size < 2_000_000


def test_names_from_the_file_are_text_on_the_page(write, tmp_path):
    file = write(
        text="date,<script>alert(1)</script>\n" + "".join(f"2024-01-{i:02},0.0{i % 7}\n" for i in range(1, 29))
    )
    said(file, "--draws", "200", "--html", tmp_path / "p.html")
    assert "<script>" not in (tmp_path / "p.html").read_text()
    assert "[bold]" in said(write(text="date,[bold]\n2024-01-02,0.01\n2024-01-03,0.02\n"), "--draws", "200")


def test_the_command_in_a_process_of_its_own_ends_with_one_line_and_the_right_code(sim, write):
    done = sim("stats", write(text="date,a\n2024-01-02,x\n"), env={"COLUMNS": "300"})
    assert (done.returncode, done.stdout) == (DataError.exit_code, "")
    assert done.stderr.startswith("sim: error: ")
    assert done.stderr.count("\n") == 1
    good = sim("stats", "compare", write(*np.random.default_rng(0).normal(0, 0.01, (2, 100))), "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)["verdict"]
    assert sim("stats", "nowhere.csv").returncode == UsageError.exit_code
    assert issubclass(UsageError, SimError)
