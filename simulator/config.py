"""Schemas of the YAML files in `config/`. Unknown keys are refused with the line they stand on.

config/models.yaml    profiles: the model of each seat; prices, limits
config/accounts.yaml  paper accounts: model, role, starting cash
config/assets.yaml    symbols that may be traded, the cash instrument, context series
config/risk.yaml      limits on targets, sizing, margin
config/costs.yaml     commission, slippage, borrow, interest
config/schedule.yaml  times of decisions
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, LiteralString, TypeVar, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from simulator.config_errors import explain_invalid, line_of
from simulator.errors import ConfigError, did_you_mean
from simulator.files import read_text

M = TypeVar("M", bound=BaseModel)

ABOVE_ZERO = math.nextafter(0, 1)
SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")
"""What YAML 1.1 reads in base 60: 1:30 as 90. Left as text, it is a time or a number that is refused."""

LARGEST, DEEPEST, MOST_VALUES = 1_000_000, 50, 100_000
"""Bytes, levels and values of a YAML file: far more than one written by hand, far less than what takes a second."""

LONGEST = 4_000
"""Characters of a number that Python reads."""


class Section(BaseModel):
    """A mapping in a config file: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, given: Any, info: ValidationInfo) -> Any:
        # Else `true` is taken for 1. Bounded numbers refuse it with what is allowed.
        field = cls.model_fields[str(info.field_name)]
        told = any(isinstance(one, BeforeValidator) for one in field.metadata)
        if isinstance(given, bool) and field.annotation is not bool and not told:
            raise ValueError("true and false are no value here")
        return given


def _bound_number(allowed: str, least: float, most: float, word: str | None = None) -> BeforeValidator:
    """Numbers from `least` to `most`, and `word`; what else is given is refused with what is `allowed`."""

    def check(given: Any) -> Any:
        if given == word and word is not None:
            return given
        try:
            number = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if least <= number <= most:
            return number
        raise ValueError(f"{'' if math.isfinite(number) else 'not a finite number; '}give {allowed}")

    return BeforeValidator(check)


def _fraction(most: float, least: float = ABOVE_ZERO) -> BeforeValidator:
    return _bound_number(
        f"a fraction {'above' if least else 'from'} 0{' up' if least else ''} to {most:g}, 0.5 for 50 %", least, most
    )


def _dollars(least: float, most: float) -> BeforeValidator:
    return _bound_number(f"dollars, from {least:g} to {most:,.0f}", least, most)


def parse_amount(given: Any) -> float | str:
    """Return dollars as a number, and percent of equity as text that ends in %."""
    text = str(given).replace(" ", "")
    unit = "%" if text.endswith("%") else ""
    try:
        number = math.nan if isinstance(given, bool) else float(text.removesuffix("%").removeprefix("$"))
    except ValueError:
        number = math.nan
    if not 0 <= number <= (100 if unit else 1e9) or (unit and text.startswith("$")):
        raise ValueError("give percent of equity, 0.1% up to 100%, or dollars, 50 or $50, up to 1,000,000,000")
    return f"{number:.15g}%" if unit else number


def _bps() -> BeforeValidator:
    return _bound_number("basis points from 0 to below 10000, 5 for 0.05 %", 0, math.nextafter(10_000, 0))


def check_endpoint(url: str) -> str:
    """Return `url`, empty or one that can be asked. Raises ValueError that says what is wrong with it."""
    if not url:
        return url
    shown = "".join(letter for letter in url.rpartition("@")[2] if letter.isprintable())
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        if not host.isascii():
            host.encode("idna")
    except ValueError as error:
        raise ValueError(f'endpoint "{shown}" is no URL ({error}), e.g. https://router.requesty.ai/v1') from None
    if parts.scheme in ("http", "https") and host and url.isprintable() and " " not in url:
        return url
    local = re.match(r"(localhost|127\.|192\.168\.|10\.|\[?::1)", url)
    full = f"{'http' if local else 'https'}://{shown.lstrip('/')}" if "://" not in url else "https://host/v1"
    raise ValueError(f'endpoint "{shown}" is no URL of a service: say e.g. {full}')


class Seat(Section):
    """The model of one seat (``research.1``, ``pm.trend``, ``chairman`` …) and its settings."""

    provider: str
    model: str
    endpoint: Annotated[str, AfterValidator(check_endpoint)] = ""
    """Base URL of a service that speaks the chat-completions protocol, e.g. ``https://router.requesty.ai/v1``."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = Field(default=None, gt=0, le=10_000_000)
    seed: int | None = None
    native_schema: bool = True
    """True asks the service to enforce the JSON schema; where it cannot, the schema goes into the prompt."""
    native_tools: bool = False
    """True names an agent's tools to the service as well, whose own form of a call is read then."""
    extra: dict[str, Any] = {}
    """Further fields of the service's request body, e.g. ``{cache_prompt: false}``."""
    api_key_env: str = Field(default="", pattern=r"^([A-Za-z_]\w*)?$", exclude=True)
    """Environment variable that holds the key; known for Requesty, OpenAI and OpenRouter, none on this machine."""
    timeout_s: float = Field(default=300.0, gt=0, exclude=True)
    """Seconds one attempt may take."""

    @model_serializer(mode="wrap")
    def _without_news(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Runs made before there was this setting keep their ids.
        return {name: value for name, value in write(self).items() if name != "native_tools" or value}


class Price(Section):
    """Price of a model in dollars per million tokens, and its knowledge cut-off."""

    input: float = Field(ge=0, le=1e6)
    output: float = Field(ge=0, le=1e6)
    cached_input: float | None = Field(default=None, ge=0, le=1e6)
    """Of tokens that the service read from its cache; without it, as `input`."""
    cache_write: float | None = Field(default=None, ge=0, le=1e6)
    """Of tokens that it put there, where that has a price of its own."""
    cutoff: Annotated[str, BeforeValidator(lambda day: str(day) if isinstance(day, date) else day)] = Field(
        default="", pattern=r"^(\d{4}-(0[1-9]|1[0-2])(-\d{2})?)?$"
    )
    """Month or day the model's knowledge ends, e.g. ``2025-01``."""


class EndpointLimits(Section):
    """Rate limits of a service; a limit that is not given is none, or the usual one for its kind."""

    concurrency: int | None = Field(default=None, gt=0, le=10_000)
    """Questions in flight at once, per process; fewer while the service answers 429."""
    calls_per_hour: int | None = Field(default=None, gt=0, le=10**9)
    tokens_per_minute: int | None = Field(default=None, gt=0, le=10**12)


class Models(Section):
    """Profiles of seats.

    A seat is written out, or names one of `models`: ``pm.trend: gpt-5.2-pm``, or with changes
    ``pm.trend: {use: gpt-5.2-pm, temperature: 0.2}``; ``pm.trend: account`` names the model of the account with that
    role in accounts.yaml.
    """

    default: str = "offline"
    models: dict[str, Seat] = {}
    """Models by name, for seats to refer to."""
    profiles: dict[str, dict[str, Seat]]
    """profile → seat → model. The seat ``*`` answers for every seat not named."""
    prices: dict[str, Price] = Field(default={}, exclude=True)
    """Model, or endpoint for all of its models → price. Known models need none."""
    limits: dict[str, EndpointLimits] = Field(default={}, exclude=True)
    """Endpoint, or ``claude_code`` → limits."""
    max_usd_per_day: float = Field(default=5.0, ge=0, exclude=True)
    """Dollars all runs of the workspace may spend in one UTC day; `--max-cost` limits a single run."""

    max_usd_per_call: float = Field(default=5.0, ge=0, exclude=True)
    """Dollars one answer is booked with at most where `prices` say 0; a model that tells more is asked no more."""

    @model_validator(mode="before")
    @classmethod
    def _put_models_for_names(cls, content: Any, info: ValidationInfo) -> Any:
        """Put models in the place of their names; anything but a mapping is left for the fields to refuse."""
        if not (isinstance(content, dict) and isinstance(content.get("profiles"), dict)):
            return content
        named, roles = content.get("models"), info.context or {}
        profiles = {
            profile: {
                seat: _seat(chosen, named, roles.get(seat), ("profiles", profile, seat))
                for seat, chosen in seats.items()
            }
            if isinstance(seats, dict)
            else seats
            for profile, seats in content["profiles"].items()
        }
        return {**content, "profiles": profiles}


OF_THE_ACCOUNT = "account"
"""In a profile: the model that accounts.yaml gives to the account with that seat's role."""


def _seat(chosen: Any, named: Any, account: str | None, spot: tuple[Any, ...]) -> Any:
    changes = dict(chosen) if isinstance(chosen, dict) else {}
    name = chosen if isinstance(chosen, str) else changes.pop("use", None)
    if name is None:
        return chosen
    if name == OF_THE_ACCOUNT:
        if account is None:
            raise _refusal("no_account", "stands for a seat no account of accounts.yaml has as its role", name, spot)
        name = account
    named = named if isinstance(named, dict) else {}
    if name not in named:
        near = did_you_mean(str(name), map(str, named)) or "; the section models names none so"
        raise _refusal("unknown_model", f"is no model{near}", name, spot)
    return {**named[name], **changes} if isinstance(named[name], dict) else named[name]


def _refusal(kind: LiteralString, what: str, given: Any, spot: tuple[Any, ...]) -> ValidationError:
    error = PydanticCustomError(kind, "{what}", {"what": what})
    return ValidationError.from_exception_data("Models", [{"type": error, "loc": spot, "input": given}])


class Account(Section):
    model: str
    role: str


class Accounts(Section):
    cash: Annotated[float, _dollars(0.01, 1e15)] = 100_000.0
    """Dollars every account starts with."""
    accounts: dict[Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")], Account]
    """Names are part of folders and of the variables that hold keys: ``ALPACA_PAPER_KEY_<ACCOUNT>``."""

    @model_validator(mode="after")
    def _check_roles(self) -> Accounts:
        by_role: dict[str, str] = {}
        for name, account in self.accounts.items():
            if other := by_role.get(account.role):
                what = f"is the role of {other} already"
                raise _refusal("role_taken", what, account.role, ("accounts", name, "role"))
            by_role[account.role] = name
        return self


class Asset(Section):
    name: str
    group: str
    """The bucket exposure limits count in: a sector or asset class."""
    sector: str = Field(default="", exclude=True)
    """Class that a desk counts exposure in, e.g. technology; funds have classes of their own, e.g. broad."""
    shortable: bool = True
    """False where its shares cannot be borrowed: short targets are cut to nothing."""


class Assets(Section):
    cash_instrument: str = "BIL"
    risk_free_rate: Annotated[float, _bound_number("a yearly rate from -0.1 to 1, 0.02 for 2 %", -0.1, 1)] = 0.02
    """Yearly rate, used where the cash instrument has no bars."""
    context: list[str] = []
    """Series shown to strategies but never traded, e.g. VIX."""
    assets: dict[str, Asset]


class Risk(Section):
    max_weight: Annotated[float, _fraction(10)] = 1.0
    """Largest |weight| of one symbol."""
    max_gross: Annotated[float, _fraction(10)] = 1.0
    max_group: Annotated[float, _fraction(10)] = 1.0
    shares: Literal["fractional", "whole"] = "fractional"
    execution: Literal["ideal", "alpaca"] = "ideal"
    """Terms of orders: as one would wish, or as Alpaca takes them: docs/decisions/0001-fill-rules.md."""
    min_trade: Annotated[float | str, BeforeValidator(parse_amount)] = "0.1%"
    """Dollars, or percent of equity, below which a change of position is not worth an order."""
    initial_margin_long: Annotated[float, _fraction(10)] = 1.0
    initial_margin_short: Annotated[float, _fraction(10)] = 0.5
    maintenance_long: Annotated[float, _fraction(10, 0)] = 0.25
    maintenance_short: Annotated[float, _fraction(10, 0)] = 0.3

    @model_validator(mode="after")
    def _take_margins_of_the_broker(self) -> Risk:
        # Not in what is stated: with another `execution` it is the usual one again.
        if self.execution == "alpaca" and "initial_margin_long" not in self.model_fields_set:
            self.__dict__["initial_margin_long"] = 0.5
        return self

    @property
    def least_dollars(self) -> float:
        """`min_trade` where it is stated in dollars, else 0."""
        return 0.0 if isinstance(self.min_trade, str) else self.min_trade

    @property
    def least_share(self) -> float:
        """`min_trade` as a fraction of equity where it is stated in percent, else 0."""
        return float(self.min_trade[:-1]) / 100 if isinstance(self.min_trade, str) else 0.0


class Costs(Section):
    commission_per_share: Annotated[float, _dollars(0, 1e6)] = 0.0
    commission_bps: Annotated[float, _bps()] = 0.0
    commission_min: Annotated[float, _dollars(0, 1e6)] = 0.0
    slippage_bps: Annotated[float, _bps()] = 2.0
    borrow_rate: Annotated[float, _bound_number("a yearly rate from 0 to 10, 0.05 for 5 %", 0, 10)] = 0.01
    """Yearly, on the market value of shorts."""
    cash_interest: Annotated[
        Literal["cash"] | float, _bound_number("a yearly rate from 0 to 1, 0.05 for 5 %, or cash", 0, 1, "cash")
    ] = "cash"
    """Yearly, on idle cash; "cash" for the return of the cash instrument."""
    margin_spread: Annotated[float, _bound_number("a yearly rate from 0 to 1, 0.05 for 5 %", 0, 1)] = 0.015
    """Yearly, what borrowed cash costs beyond that."""
    short_proceeds_earn: bool = False
    """Interest is paid on what short sales brought in, too."""
    limit_fill: Literal["through", "touch"] = "through"
    """Whether a limit fills within a bar only where the price goes through it by a tick, or where it touches it."""


Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)


def check_clock(given: Any) -> Any:
    """Return `given`, a time as ``09:30``: a number would be seconds, a zone is never heeded. Raises ValueError."""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9](:00)?", str(given)):
        raise ValueError('give a New York time as "09:30"')
    return given


def refuse_twice(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `given`. Raises ValueError for what stands in it twice."""
    if twice := [one for n, one in enumerate(given) if one in given[:n]]:
        raise ValueError(f"{twice[0]} stands there twice")
    return given


Clock = Annotated[time, BeforeValidator(check_clock)]
Clocks = Annotated[tuple[Clock, ...], AfterValidator(refuse_twice)]


def refuse_late(given: tuple[time, ...]) -> tuple[time, ...]:
    """Return `given`. Raises ValueError for a time from the close on, at which nothing is held."""
    if late := [at for at in given if at >= time(16)]:
        raise ValueError(f"{late[0]:%H:%M} is not before the close at 16:00")
    return given


class Schedule(Section):
    decision_time: Clock = time(8, 0)
    """New York time of a decision on its session."""
    cadence: Literal["once", "daily", "weekly", "monthly"] | None = None
    """Overrides the strategy's own cadence."""
    weekday: Weekday = "monday"
    """Of weekly decisions. A holiday or an early close moves a weekly or monthly decision to the next whole session."""
    checkpoints: Annotated[Clocks, AfterValidator(refuse_late)] = (time(9, 0), time(12, 0), time(14, 0), time(15, 50))
    """New York times at which a strategy that has checkpoints looks again at what it holds."""


@dataclass(frozen=True)
class Config:
    """All of `config/`, checked."""

    models: Models
    accounts: Accounts
    assets: Assets
    risk: Risk
    costs: Costs
    schedule: Schedule

    def dump(self) -> dict[str, Any]:
        """JSON-able, for run.json and the run id."""
        return {name: getattr(self, name).model_dump(mode="json") for name in CONFIG_FILES}


CONFIG_FILES: dict[str, type[Section]] = {
    "models": Models,
    "accounts": Accounts,
    "assets": Assets,
    "risk": Risk,
    "costs": Costs,
    "schedule": Schedule,
}

SETTABLE = ("risk", "costs", "schedule", "accounts")
"""Files of ``config/`` whose keys a run may override, as in ``--set costs.slippage_bps=5``."""


class _Loader(yaml.CSafeLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and SEXAGESIMAL.fullmatch(value):
            return "tag:yaml.org,2002:str"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


def load_config(folder: Path) -> Config:
    """Read and check the six files of `folder`. Raises ConfigError naming file and line."""
    accounts = read_yaml(folder / "accounts.yaml", Accounts)
    roles = {account.role: account.model for account in accounts.accounts.values()}
    sections: dict[str, Any] = {n: read_yaml(folder / f"{n}.yaml", model, roles) for n, model in CONFIG_FILES.items()}
    return Config(**sections)


def override_config(config: Config, overrides: Mapping[str, object]) -> Config:
    """Return `config` with ``{"costs.slippage_bps": 5}`` in place. Raises ConfigError for a wrong key or value."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    made: dict[str, Any] = {}
    for section, given in sections.items():
        model = CONFIG_FILES[section]
        try:
            made[section] = model.model_validate({**getattr(config, section).model_dump(exclude_unset=True), **given})
        except ValidationError as error:
            told = explain_invalid(error, Path(section), None, model)
            raise ConfigError(told.found, where=f"--set {section}", mend=told.mend) from None
    return replace(config, **made)


def read_yaml(path: Path, model: type[M], context: Mapping[str, Any] | None = None) -> M:
    """Read one YAML file and check it against `model`, whose validators get `context`.

    Raises ConfigError: ``file:line: what was found``.
    """
    try:
        text = read_text(path, LARGEST)
    except FileNotFoundError:
        raise ConfigError("file is missing", where=str(path), mend="`sim init DIR` writes a fresh set") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({getattr(error, 'strerror', None) or error})", where=str(path)) from None
    return parse_yaml(text, path, model, context)


def parse_yaml(text: str, path: Path, model: type[M], context: Mapping[str, Any] | None = None) -> M:
    """Check the YAML `text` of the file `path` against `model`. Raises as `read_yaml`."""
    try:
        _refuse_depth(text, path)
        root = yaml.compose(text, Loader=_Loader)
        _refuse_growth(root, path)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}") from None
    except ValueError as error:
        # A date there is not, a number of more digits than Python reads.
        node = next((node for node in _scalars(root) if _is_unreadable(node)), root)
        given = node.value if isinstance(node, yaml.ScalarNode) else ""
        reason = f"a number of {len(given):,} digits" if len(given) > LONGEST else error
        raise ConfigError(f'"{given[:40]}": {reason}', where=f"{path}:{line_of(node, [])}") from None
    _refuse_repeated_keys(root, path)
    try:
        return model.model_validate({} if content is None else content, context=dict(context or {}))
    except ValidationError as error:
        raise explain_invalid(error, path, root, model) from None


def _refuse_depth(text: str, path: Path) -> None:
    # Before anything is composed: the parser takes a minute for a hundred thousand brackets, and may never return.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            where = f"{path}:{event.start_mark.line + 1}" if event.start_mark else str(path)
            raise ConfigError(f"is nested more than {DEEPEST} levels deep", where=where)


def _refuse_growth(root: yaml.Node | None, path: Path) -> None:
    """Raise ConfigError where anchors and aliases stand for more than MOST_VALUES values, or for themselves."""
    sizes: dict[int, int] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        where = f"{path}:{node.start_mark.line + 1}"
        if id(node) in above:
            raise ConfigError("an anchor stands for something that holds it", where=where)
        if id(node) not in sizes:
            above.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _inside(node)))
            above.remove(id(node))
        if sizes[id(node)] > MOST_VALUES:
            raise ConfigError(f"its aliases stand for more than {MOST_VALUES:,} values", where=where)
        return sizes[id(node)]

    if root is not None:
        size(root)


def _inside(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _scalars(root: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    nodes = [] if root is None else [root]
    while nodes:
        node = nodes.pop()
        nodes += _inside(node)[::-1]
        if isinstance(node, yaml.ScalarNode):
            yield node


def _is_unreadable(node: yaml.ScalarNode) -> bool:
    try:
        _Loader("").construct_object(node)
    except (ValueError, yaml.YAMLError):
        return True
    return False


def _refuse_repeated_keys(root: yaml.Node | None, path: Path) -> None:
    # YAML takes the last of two equal keys in silence: of two seats of one name the first would be lost.
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f'"{key.value}" stands there twice', where=f"{path}:{key.start_mark.line + 1}")
            seen.add(str(key.value))
            nodes.append(value)
