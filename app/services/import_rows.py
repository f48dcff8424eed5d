"""One row of an import: which columns there are, what they mean, and what is wrong with a cell.

Pure: text goes in, a `Wanted` subscription or its faults come out. Whether what a row refers to
exists is the affair of `imports`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

from app.domain import decimals
from app.domain.calendar import Interval, Unit, instant, time_zone
from app.domain.currency import EXPONENTS
from app.domain.errors import BillingError, InvalidRequest
from app.domain.invoice import Collection
from app.domain.pricing import SCALE, SCALE_PLACES
from app.log import passes_luhn

COLUMNS: Final[Mapping[str, str]] = {
    "customer_external_id": "Your name for the customer. Needed. Rows may share one.",
    "email": "Where the customer is written to.",
    "name": "The customer's name.",
    "country": "ISO 3166-1 alpha-2, upper case: DE.",
    "time_zone": "IANA, where billing days begin: Europe/Berlin. Empty: UTC.",
    "subscription_external_id": "Your name for the subscription. Needed, and unique.",
    "plan": "The plan's code. Needed unless lookup_key names the price.",
    "lookup_key": "The price, by its lookup key; instead of the four columns that follow.",
    "unit_amount": "What one unit costs a period, in major units: 29.85.",
    "currency": "ISO 4217, upper case: EUR.",
    "interval": "day, week, month or year. Empty: month.",
    "interval_count": "How many of them make a period. Empty: 1.",
    "quantity": "How many units. Empty: 1.",
    "started_at": "ISO 8601. Needed. To come: scheduled. Past: taken over at its anchor.",
    "trial_end": "ISO 8601: when its trial ends, and its first paid period begins.",
    "cancel_at": "ISO 8601: when it ends.",
    "cancel_at_period_end": "true: it ends with its present period.",
    "collection_method": "charge_automatically (also when empty) or send_invoice.",
    "net_days": "Days to pay an invoice that is sent. Empty: 0.",
    "payment_token": "The gateway's token for the card or account; never a card number.",
    "payment_customer": "The gateway's own customer, where its tokens need one.",
    "payment_brand": "For show: visa.",
    "payment_last4": "For show: 4242.",
    "payment_exp_month": "For show: 1 to 12.",
    "payment_exp_year": "For show: 2031.",
    "coupon": "A coupon's code; its periods count from our first invoice.",
}
METADATA: Final = "metadata."
"""`metadata.team` fills `team` in the subscription's metadata."""
NEEDED: Final = ("customer_external_id", "subscription_external_id", "started_at")

CELL_CHARS_MAX: Final = 500
COLUMNS_MAX: Final = len(COLUMNS) + 50
METADATA_KEYS_MAX: Final = 50
METADATA_KEY_CHARS_MAX: Final = 40
AMOUNT_MAX: Final = 999_999_999_999_999
"""In minor units: sums of many such amounts still fit the database's 64-bit integers."""
QUANTITY_MAX: Final = 1_000_000_000
YEARS: Final = range(2000, 2200)
"""Beyond them a date is a mistake, and arithmetic on it may leave what calendars can say."""

CARD_DIGITS: Final = range(13, 20)
DIGITS: Final = re.compile(r"\d(?:[ -]?\d){12,}", re.ASCII)
"""A run of digits, also in groups, that is long enough to hold a card number."""
GROUP_END: Final = re.compile("[ -]")
UNDECODABLE: Final = re.compile("[\udc80-\udcff]")
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a row, and in which column; `column` is empty where it is the whole."""

    column: str
    code: str
    message: str


MONTHLY: Final = Interval(Unit.MONTH)


@dataclass(frozen=True, slots=True)
class PriceKey:
    """Which price is meant: the one with a lookup key, or one of a plan that costs just this."""

    plan: str | None
    lookup_key: str | None
    currency: str = ""
    interval: Interval = MONTHLY
    unit_amount_scaled: int = 0


@dataclass(frozen=True, slots=True)
class Method:
    """A gateway's token, and what may be shown of the card or account behind it."""

    reference: str
    customer_reference: str | None
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A customer and a subscription as a row describes them; `number` is the row's."""

    number: int
    customer: str
    email: str | None
    name: str | None
    country: str | None
    zone: str | None
    subscription: str
    price: PriceKey
    quantity: int
    started_at: datetime
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    collection: Collection
    net_days: int
    method: Method | None
    coupon: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that cannot be imported, with everything that is wrong with it."""

    number: int
    faults: Sequence[Fault]


Parser: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Header:
    """What the columns of a file are, in their order."""

    names: tuple[str, ...]
    fields: tuple[tuple[int, str, Parser], ...] = field(repr=False)
    metadata: tuple[tuple[int, str], ...] = field(repr=False)


def header(cells: Sequence[str]) -> Header:
    """The columns that a file's first row names. Raises InvalidRequest, which ends the import."""
    names = tuple(cell.strip() for cell in cells)
    if len(names) > COLUMNS_MAX:
        raise InvalidRequest(f"The file has {len(names)} columns; {COLUMNS_MAX} are the most.")
    keys = [name.removeprefix(METADATA) for name in names if name.startswith(METADATA)]
    unknown = [n for n in names if n not in COLUMNS and not n.startswith(METADATA)]
    if unknown:
        shown = ", ".join(repr(name[:40]) for name in unknown[:5])
        raise InvalidRequest(f"The first row names columns that there are not: {shown}.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"The first row names {twice!r} twice.")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise InvalidRequest(f"The first row must name {', '.join(missing)}.")
    if len(keys) > METADATA_KEYS_MAX or not all(0 < len(k) <= METADATA_KEY_CHARS_MAX for k in keys):
        raise InvalidRequest(
            f"At most {METADATA_KEYS_MAX} metadata columns, their names of 1 to "
            f"{METADATA_KEY_CHARS_MAX} characters."
        )
    return Header(
        names,
        tuple((i, name, PARSERS[name]) for i, name in enumerate(names) if name in COLUMNS),
        tuple((i, n.removeprefix(METADATA)) for i, n in enumerate(names) if n.startswith(METADATA)),
    )


def parse(columns: Header, number: int, cells: Sequence[str]) -> Wanted | Broken:
    """What row `number` wants, or every fault in it. No message repeats a card number."""
    faults = [*_unreadable(columns, cells)]
    if faults:
        return Broken(number, faults)
    values: dict[str, Any] = {}
    for place, name, parser in columns.fields:
        text = cells[place].strip()
        if text:
            try:
                values[name] = parser(text)
            except BillingError as error:
                faults.append(Fault(name, error.code, error.message))
    metadata = {key: cells[place] for place, key in columns.metadata if cells[place]}
    absent = {f.column for f in faults}.union(values)
    faults += [
        Fault(name, "missing", f"{name} is needed.") for name in NEEDED if name not in absent
    ]
    if not faults:
        faults += _contradictions(values)
    return Broken(number, faults) if faults else _wanted(number, values, metadata)


def _unreadable(columns: Header, cells: Sequence[str]) -> Iterator[Fault]:
    """What keeps cells from being read at all, or from being kept."""
    if len(cells) != len(columns.names):
        said = f"The row has {len(cells)} cells, and the first row {len(columns.names)}."
        yield Fault("", "wrong_number_of_cells", said)
        return
    whole = "\n".join(cells)
    suspicious = CONTROL.search(whole) or UNDECODABLE.search(whole) or DIGITS.search(whole)
    if not suspicious and max(map(len, cells)) <= CELL_CHARS_MAX:
        return
    for name, cell in zip(columns.names, cells, strict=True):
        if UNDECODABLE.search(cell):
            yield Fault(name, "not_utf8", "The cell is not UTF-8 text.")
        elif CONTROL.search(cell):
            yield Fault(name, "control_character", "The cell holds a control character.")
        elif len(cell) > CELL_CHARS_MAX:
            yield Fault(name, "too_long", f"A cell has at most {CELL_CHARS_MAX} characters.")
        elif holds_card_number(cell):
            yield Fault(
                name, "card_number", "This looks like a card number, which is never stored here."
            )


def holds_card_number(text: str) -> bool:
    """Whether `text` holds groups of digits that together pass for a card number."""
    return any(
        len(digits) in CARD_DIGITS and digits.strip("0") and passes_luhn(digits)
        for run in DIGITS.finditer(text)
        for digits in _joined(GROUP_END.split(run[0]))
    )


def _joined(groups: Sequence[str]) -> Iterator[str]:
    """Every stretch of neighbouring groups, as one."""
    for first in range(len(groups)):
        for last in range(first, len(groups)):
            yield "".join(groups[first : last + 1])


def _contradictions(values: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong between cells that are each right."""
    by_amount = [name for name in ("unit_amount", "currency") if name in values]
    if "lookup_key" in values and by_amount:
        said = "lookup_key names the price: leave out its amount and currency."
        yield Fault(by_amount[0], "ambiguous_price", said)
    elif "lookup_key" not in values:
        for name in ("plan", "unit_amount", "currency"):
            if name not in values:
                said = f"{name} is needed where lookup_key does not name the price."
                yield Fault(name, "missing", said)
    if "payment_token" not in values:
        for name in PAYMENT_DETAILS:
            if name in values:
                yield Fault(name, "missing", f"{name} says nothing without a payment_token.")


PAYMENT_DETAILS: Final = tuple(
    name for name in COLUMNS if name.startswith("payment_") and name != "payment_token"
)


def _wanted(number: int, values: dict[str, Any], metadata: dict[str, str]) -> Wanted | Broken:
    get = values.get
    zone = get("time_zone")
    quantity = get("quantity", 1)
    try:
        price = _price_key(values, quantity)
    except BillingError as error:
        return Broken(number, [Fault("unit_amount", error.code, error.message)])
    return Wanted(
        number=number,
        customer=values["customer_external_id"],
        email=get("email"),
        name=get("name"),
        country=get("country"),
        zone=zone,
        subscription=values["subscription_external_id"],
        price=price,
        quantity=quantity,
        started_at=_moment(values["started_at"], zone),
        trial_end=_moment(values["trial_end"], zone) if "trial_end" in values else None,
        cancel_at=_moment(values["cancel_at"], zone) if "cancel_at" in values else None,
        cancel_at_period_end=get("cancel_at_period_end", False),
        collection=get("collection_method", Collection.CHARGE_AUTOMATICALLY),
        net_days=get("net_days", 0),
        method=_method(values) if "payment_token" in values else None,
        coupon=get("coupon"),
        metadata=metadata,
    )


def _method(values: Mapping[str, Any]) -> Method:
    get = values.get
    return Method(
        values["payment_token"],
        get("payment_customer"),
        get("payment_brand"),
        get("payment_last4"),
        get("payment_exp_month"),
        get("payment_exp_year"),
    )


def _price_key(values: Mapping[str, Any], quantity: int) -> PriceKey:
    plan, lookup_key = values.get("plan"), values.get("lookup_key")
    if lookup_key is not None:
        return PriceKey(plan, lookup_key)
    currency = values["currency"]
    places = EXPONENTS[currency] + SCALE_PLACES
    amount = decimals.parse(values["unit_amount"], places, param="unit_amount")
    if amount < 0:
        raise InvalidRequest("unit_amount cannot be negative.", code="negative_amount")
    if amount * max(quantity, 1) > AMOUNT_MAX * SCALE:
        raise InvalidRequest("A period would cost more than can be booked.", code="too_large")
    interval = Interval(values.get("interval", Unit.MONTH), values.get("interval_count", 1))
    return PriceKey(plan, None, currency, interval, amount)


def _moment(at: datetime, zone: str | None) -> datetime:
    """In UTC; without an offset the clocks of `zone` are meant."""
    return instant(at, zone or "UTC") if at.tzinfo is None else at.astimezone(UTC)


def _wrong(message: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(message, code=code)


def _text(limit: int) -> Parser:
    def parse(text: str) -> str:
        if len(text) > limit:
            raise _wrong(f"At most {limit} characters are allowed.", "too_long")
        return text

    return parse


def _matching(pattern: str, limit: int, said: str) -> Parser:
    form = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if len(text) > limit or not form.fullmatch(text):
            raise _wrong(f"{text[:40]!r} is not {said}.")
        return text

    return parse


def _number(low: int, high: int) -> Parser:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high))):
            raise _wrong(f"{text[:40]!r} is not a whole number from {low} to {high}.")
        number = int(text)
        if not low <= number <= high:
            raise _wrong(f"{number} is not from {low} to {high}.")
        return number

    return parse


def _one_of(values: Mapping[str, Any]) -> Parser:
    def parse(text: str) -> Any:
        if text not in values:
            raise _wrong(f"{text[:40]!r} is none of {', '.join(values)}.")
        return values[text]

    return parse


@lru_cache(maxsize=4_096)
def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        said = f"{text[:40]!r} is not an ISO 8601 instant such as 2030-01-31T09:00:00Z."
        raise _wrong(said, "invalid_instant") from None
    if at.year not in YEARS:
        raise _wrong(f"It must lie between the years {YEARS[0]} and {YEARS[-1]}.", "out_of_range")
    return at


def _zone(text: str) -> str:
    time_zone(text)
    return text


def _currency(text: str) -> str:
    if text not in EXPONENTS:
        raise _wrong(f"{text[:40]!r} is not an active ISO 4217 currency code.", "unknown_currency")
    return text


PARSERS: Final[Mapping[str, Parser]] = {
    "customer_external_id": _text(200),
    "email": _matching(r"[^@\s]+@[^@\s]+", 320, "an e-mail address"),
    "name": _text(200),
    "country": _matching(r"[A-Z]{2}", 2, "a country's code such as DE"),
    "time_zone": _zone,
    "subscription_external_id": _text(200),
    "plan": _matching(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", 100, "a plan's code"),
    "lookup_key": _text(200),
    "unit_amount": str,  # read with its currency
    "currency": _currency,
    "interval": _one_of({unit.value: unit for unit in Unit}),
    "interval_count": _number(1, 365),
    "quantity": _number(0, QUANTITY_MAX),
    "started_at": _instant,
    "trial_end": _instant,
    "cancel_at": _instant,
    "cancel_at_period_end": _one_of({"true": True, "false": False}),
    "collection_method": _one_of({method.value: method for method in Collection}),
    "net_days": _number(0, 365),
    "payment_token": _text(255),
    "payment_customer": _text(255),
    "payment_brand": _text(40),
    "payment_last4": _matching(r"[0-9]{4}", 4, "four digits"),
    "payment_exp_month": _number(1, 12),
    "payment_exp_year": _number(2000, 2200),
    "coupon": _matching(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", 100, "a coupon's code"),
}
