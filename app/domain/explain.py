"""Why a line of an invoice is what it is: every step from its inputs to the cent, and the proof.

Steps are reckoned anew, exactly, by the functions that made the line; where the outcome is not what
is stored, the difference is told. `explaining` has the words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, combinations, islice
from typing import Final
from uuid import UUID

from app.domain import crediting, explaining, pricing, proration
from app.domain import discount as discounting
from app.domain import policy as policies
from app.domain import tax as taxing
from app.domain.calendar import Period
from app.domain.crediting import Charged
from app.domain.discount import Discount, Kind, Stacking
from app.domain.explaining import About, Step
from app.domain.invoice import BillingReason, Charge, Invoice, Line, LineKind
from app.domain.invoicing import Credit, facts_of, open_to_discounts
from app.domain.money import WHOLE_PPM, Money, divide
from app.domain.policy import Basis, Policy, StubReference
from app.domain.pricing import SCALE, Price
from app.domain.proration import FULL

GUESSES_MAX: Final = 64
"""Which of the discounts that took nothing were there: so many guesses are made."""
GIVEN: Final = frozenset({LineKind.ONE_OFF})
"""What may have an amount of its own, without any price."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a line was made from, as it is stored.

    `discounts` are those known to its subscription then, in the order they were given.
    `full` is the anchored period in which the line begins, where that can still be told.
    `billed_before` is the (quantity, amount) that the same usage was billed with earlier.
    """

    invoice: Invoice
    line: Line
    zone: str
    price: Price | None = None
    discounts: tuple[Discount, ...] = ()
    events: int | None = None
    full: Period | None = None
    reversed: Charged | None = None
    billed_before: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is stored otherwise than it is reckoned."""

    field: str
    stored: int
    reckoned: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps to a line's amounts, in minor units, and what in them is not as it is stored."""

    steps: tuple[Step, ...]
    amount: int
    discount_amount: int
    tax_amount: int
    total: int
    dials: Mapping[str, str | int]
    differences: tuple[Difference, ...]


def explain(facts: Facts) -> Explanation:
    """The line of `facts`, step by step."""
    line = facts.line
    if line.charge.reverses_line_id is not None and facts.reversed is not None:
        steps, credit = _given_back(facts, facts.reversed)
        amount = credit.charge.amount
        offs = {part.discount_id: part.amount for part in credit.discounts}
        taxes = {part.rate.id: part.amount for part in credit.taxes}
    elif line.charge.reverses_line_id is not None:
        steps = [Step(About.CREDIT, "What was charged cannot be found.", "", line.charge.amount)]
        amount = line.charge.amount
        offs, taxes = _offs(line), _taxes(line)
    else:
        steps, amount = _charged(facts)
        found, offs = _discounted(facts)
        taxed, taxes = _taxed(facts)
        steps += [*found, *taxed]
    on_top = sum(
        taxes[p.rate.id] for p in line.taxes if not p.rate.inclusive and p.rate.id in taxes
    )
    total = amount - sum(offs.values()) + on_top
    steps.append(explaining.total(amount, sum(offs.values()), on_top, total))
    return Explanation(
        tuple(steps),
        amount,
        sum(offs.values()),
        sum(taxes.values()),
        total,
        _dials(facts),
        tuple(_differences(line, amount, offs, taxes)),
    )


# ── what a charge comes to ────────────────────────────────────────────────────────────────────────


def _charged(facts: Facts) -> tuple[list[Step], int]:
    charge, price = facts.line.charge, facts.price
    if price is None or (charge.kind in GIVEN and price.interval is not None):
        return [explaining.given(charge.amount)], charge.amount
    match charge.kind:
        case LineKind.SETUP_FEE:
            return [explaining.fee(price.setup_fee_minor, "set-up fee")], price.setup_fee_minor
        case LineKind.TRIAL:
            return [explaining.fee(price.trial_amount_minor, "trial")], price.trial_amount_minor
        case LineKind.USAGE if facts.billed_before is not None:
            return _late(facts, price, facts.billed_before)
        case _:
            steps, amount = _priced(facts, price, charge.quantity)
    if amount != charge.amount and charge.kind is LineKind.PERIOD:
        return _cut(facts, steps, amount)
    return steps, amount


def _priced(facts: Facts, price: Price, quantity: int) -> tuple[list[Step], int]:
    """The exact price of the quantity, its share, and the one rounding."""
    charge, policy = facts.line.charge, facts.invoice.policy
    steps = explaining.price(price, quantity, facts.events)
    exact = Fraction(pricing.amount_scaled(price, quantity, facts.events), SCALE)
    if charge.share != FULL:
        steps.append(explaining.share(exact, charge.share, _measure(policy), facts.full))
        exact *= Fraction(*charge.share)
    amount = divide(exact.numerator, exact.denominator, policy.rounding)
    if exact.denominator != 1:
        steps.append(explaining.rounding(exact, amount, policy.rounding))
    return steps, amount


def _late(facts: Facts, price: Price, before: tuple[int, int]) -> tuple[list[Step], int]:
    """Usage that came after its period was billed: all of it, less what was billed then."""
    steps, whole = _priced(facts, price, facts.line.charge.quantity + before[0])
    amount = whole - before[1]
    steps.append(explaining.late(whole, before, amount))
    return steps, amount


def _cut(facts: Facts, steps: list[Step], whole: int) -> tuple[list[Step], int]:
    """A charge that waited for its invoice and was cut short meanwhile.

    How long it was meant to be is what its share says; the rest of that is taken off.
    """
    charge, policy = facts.line.charge, facts.invoice.policy
    basis = policy.proration_basis
    if basis is Basis.NONE:
        return steps, whole
    kept = proration.units(charge.period.start, charge.period.end, basis, facts.zone)
    for meant in _meant(facts, basis):
        if not 0 <= kept < meant:
            continue
        unused = divide(whole * (meant - kept), meant, policy.rounding)
        if whole - unused == charge.amount:
            steps.append(explaining.cut(whole, meant - kept, meant, unused))
            return steps, whole - unused
    return steps, whole


def _meant(facts: Facts, basis: Basis) -> Iterator[int]:
    """How long the charge may have been meant to be: its share says so, where it is one; else the
    periods that began with it, on the same invoice or by its price.
    """
    charge, price = facts.line.charge, facts.price
    if charge.share != FULL:
        yield charge.share.part
        return
    begun = [
        line.charge.period
        for line in facts.invoice.lines
        if line.charge.period.start == charge.period.start
    ]
    if facts.full is not None:
        begun.append(facts.full)
    if price is not None and price.interval is not None:
        begun.append(price.every.period(charge.period.start, 0, facts.zone))
    for period in begun:
        yield proration.units(period.start, period.end, basis, facts.zone)


def _measure(policy: Policy) -> str:
    return "days" if policy.proration_basis is Basis.DAY else "seconds"


# ── discounts and taxes ───────────────────────────────────────────────────────────────────────────


def _charges(invoice: Invoice) -> list[Line]:
    return [line for line in invoice.lines if line.charge.reverses_line_id is None]


def _of_one_subscription(facts: Facts) -> list[Line]:
    """The charges that the line's discounts were spread over: where an invoice is for several
    subscriptions, those of its own.
    """
    about = facts.line.subscription_id
    return [line for line in _charges(facts.invoice) if line.subscription_id == about]


def _place(facts: Facts, lines: Sequence[Line]) -> int:
    return next(place for place, line in enumerate(lines) if line.id == facts.line.id)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Discounts on the charges of an invoice, and what each takes off each of them."""

    discounts: Sequence[Discount]
    charges: Sequence[Charge]
    left: list[int]
    eligible: list[list[bool]] | None
    rows: list[list[int]]

    def agrees(self, lines: Sequence[Line]) -> bool:
        """Whether that is what is stored."""
        for place, line in enumerate(lines):
            offs = _offs(line)
            for discount, row in zip(self.discounts, self.rows, strict=True):
                if row[place] != offs.get(discount.id, 0):
                    return False
        return True


def _discounted(facts: Facts) -> tuple[list[Step], dict[UUID, int]]:
    """What each discount takes off the line, of what those before it left."""
    policy, lines = facts.invoice.policy, _of_one_subscription(facts)
    taken = _taken_by(facts, lines)
    if taken is None:
        return [], {}
    place, discounts, steps, offs = _place(facts, lines), taken.discounts, [], {}
    left = [max(amount, 0) for amount in taken.left]
    several = sum(d.coupon.kind is Kind.PERCENT for d in discounts) > 1
    for n in _order(discounts, policy.coupon_stacking):
        row, discount = taken.rows[n], discounts[n]
        open_to = left if taken.eligible is None else _only(left, taken.eligible[n])
        if row[place]:
            offs[discount.id] = row[place]
            currency = facts.invoice.order.currency
            taking = explaining.Taking(discount, place, open_to, row, currency, several)
            steps.append(explaining.discount(taking, taken.charges[place], policy.rounding))
        left = [rest - off for rest, off in zip(left, row, strict=True)]
    return steps, offs


def _taken_by(facts: Facts, lines: Sequence[Line]) -> _Taken | None:
    """The discounts reckoned anew. Where those that took something do not lead to what is stored,
    others had a say in the rounding that took nothing themselves.
    """
    took = {part.discount_id for line in lines for part in line.discounts}
    if not took:
        return None
    silent = [d for d in facts.discounts if d.id not in took]
    for more in islice(_some(silent), GUESSES_MAX):
        with_them = [d for d in facts.discounts if d.id in took or d in more]
        found = _taken(facts, lines, with_them)
        if found.agrees(lines):
            return found
    return _taken(facts, lines, [d for d in facts.discounts if d.id in took])


def _some(of: Sequence[Discount]) -> Iterator[tuple[Discount, ...]]:
    """None of them, then each, then each two, up to all."""
    return chain.from_iterable(combinations(of, n) for n in range(len(of) + 1))


def _taken(facts: Facts, lines: Sequence[Line], given: Sequence[Discount]) -> _Taken:
    invoice, policy = facts.invoice, facts.invoice.policy
    charges = [line.charge for line in lines]
    discounts = [_as_applied(invoice, lines, discount) for discount in given]
    left, currency = open_to_discounts(charges, policy), invoice.order.currency
    known = eligible = None
    if discounting.need_facts(discounts):
        known = [facts_of(c, amount) for c, amount in zip(charges, left, strict=True)]
        eligible = discounting.applicable(discounts, known, currency)
    rows = discounting.apply(
        discounts, left, currency, policy.coupon_stacking, policy.rounding, eligible, known
    )
    return _Taken(discounts, charges, left, eligible, rows)


def _as_applied(invoice: Invoice, lines: Sequence[Line], discount: Discount) -> Discount:
    """In the middle of a period an amount counts in part: as much as it took in all."""
    coupon = discount.coupon
    if invoice.order.reason is not BillingReason.SUBSCRIPTION_UPDATE or coupon.amount_off is None:
        return discount
    parts = (part for line in lines for part in line.discounts)
    taken = sum(part.amount for part in parts if part.discount_id == discount.id)
    part = Money(taken, invoice.order.currency)
    return replace(discount, coupon=replace(coupon, amount_off=part, currency_options={}))


def _order(discounts: Sequence[Discount], stacking: Stacking) -> list[int]:
    """The places of the discounts in the order in which they are taken."""
    kinds = [d.coupon.kind if stacking is Stacking.PERCENT_FIRST else 0 for d in discounts]
    return sorted(range(len(discounts)), key=lambda n: (kinds[n], discounts[n].reach))


def _only(left: Sequence[int], mask: Sequence[bool]) -> list[int]:
    return [rest if may else 0 for rest, may in zip(left, mask, strict=True)]


def _taxed(facts: Facts) -> tuple[list[Step], dict[UUID, int]]:
    """The line's taxes, each with what it is over all lines and where the odd unit went."""
    policy, lines = facts.invoice.policy, _charges(facts.invoice)
    rates = [line.charge.rates for line in lines]
    if not facts.line.charge.rates:
        return [], {}
    place = _place(facts, lines)
    amounts = [line.charge.amount - line.discount_amount for line in lines]
    found = taxing.taxes(amounts, rates, policy.tax_rounding, policy.rounding)
    steps, taxes = [], {}
    for part in (part for part in found.parts if part.line == place):
        taxes[part.rate.id] = part.amount
        alike = [n for n, of_line in enumerate(rates) if part.rate in of_line]
        wholes = [
            WHOLE_PPM + sum(rate.rate_ppm for rate in rates[n] if rate.inclusive) for n in alike
        ]
        exact = [
            Fraction(amounts[n] * part.rate.rate_ppm, whole)
            for n, whole in zip(alike, wholes, strict=True)
        ]
        given = [p.amount for p in found.parts if p.line in alike and p.rate == part.rate]
        taxing_ = explaining.Taxing(part.rate, amounts[place], wholes[alike.index(place)])
        spread = explaining.Spread(alike.index(place), exact, given)
        steps.append(explaining.tax(taxing_, spread, policy.tax_rounding, policy.rounding))
    return steps, taxes


# ── what a credit comes to ────────────────────────────────────────────────────────────────────────


def _given_back(facts: Facts, charged: Charged) -> tuple[list[Step], Credit]:
    """The credit, reckoned from the line that it takes back as that stood before."""
    charge, policy = facts.line.charge, facts.invoice.policy
    line = charged.line
    steps = [explaining.reversed_line(line)]
    credit: Credit | None
    if charge.period == line.charge.period and charge.share == FULL:
        credit = crediting.whole(charged)
    else:
        credit = crediting.unused(charged, charge.period.start, policy, facts.zone)
    if credit is None:
        credit = Credit(replace(charge, amount=0))
    if charged.returned.amount:
        steps.append(explaining.returned(charged))
    if -credit.charge.amount == charged.left:
        steps.append(explaining.all_that_is_left(charged))
    else:
        rest, period = credit.charge.share, line.charge.period
        gone = proration.NOTHING
        if charged.until < period.end:
            end = Period(charged.until, period.end)
            gone = proration.share(end, period, policy, facts.zone)
        steps.append(explaining.unused(line, rest, gone, _measure(policy), credit.charge.amount))
    steps += explaining.mirrored(credit)
    return steps, credit


# ── what it was made with, and what is stored ─────────────────────────────────────────────────────


def _dials(facts: Facts) -> dict[str, str | int]:
    """The billing settings that had a say in the line, with their values."""
    charge, policy = facts.line.charge, facts.invoice.policy
    names = ["rounding"]
    if charge.share != FULL or charge.reverses_line_id is not None:
        names.append("proration_basis")
        if policy.proration_stub_reference is not StubReference.ALIGNED_PERIOD:
            names.append("proration_stub_reference")
    if facts.line.discounts:
        names += ["coupon_stacking", "coupon_on_proration"]
    if facts.line.taxes:
        names.append("tax_rounding")
    if facts.invoice.order.reason is BillingReason.SUBSCRIPTION_CANCEL:
        names.append("proration_last_day")
    return {name: getattr(policy, name) for name in names}


def default_of(dial: str) -> str | int:
    """What a billing setting is where nobody has changed it."""
    value: str | int = getattr(policies.DEFAULT, dial)
    return value


def _offs(line: Line) -> dict[UUID, int]:
    return {part.discount_id: part.amount for part in line.discounts}


def _taxes(line: Line) -> dict[UUID, int]:
    return {part.rate.id: part.amount for part in line.taxes}


def _differences(
    line: Line, amount: int, offs: Mapping[UUID, int], taxes: Mapping[UUID, int]
) -> list[Difference]:
    found = []
    if amount != line.charge.amount:
        found.append(Difference("amount", line.charge.amount, amount))
    for field, stored, reckoned in (
        ("discount", _offs(line), offs),
        ("tax", _taxes(line), taxes),
    ):
        for key in sorted(stored.keys() | reckoned.keys()):
            if stored.get(key, 0) != reckoned.get(key, 0):
                name = f"{field}_amount"
                found.append(Difference(name, stored.get(key, 0), reckoned.get(key, 0)))
    return found
