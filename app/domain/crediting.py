"""Giving back: a credit is reckoned from the line that was charged, never from today's prices.

What stretches of time cost are differences of one rounded function of the line, so several credits
of a line add up to one; each is capped by what is left, and the last takes the remainder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from app.domain.calendar import Period
from app.domain.invoice import DiscountPart, Line
from app.domain.invoicing import Credit
from app.domain.money import apportion, divide, spread
from app.domain.policy import Policy
from app.domain.proration import Share, share
from app.domain.tax import TaxPart


@dataclass(frozen=True, slots=True)
class Returned:
    """What credits took back of a line so far, as amounts above zero: in all, of each discount and
    of each tax (with what it was taken from), by their ids.
    """

    amount: int = 0
    discounts: Mapping[UUID, int] = field(default_factory=dict)
    taxes: Mapping[UUID, int] = field(default_factory=dict)
    taxables: Mapping[UUID, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Charged:
    """A line of a finalized invoice, up to when it is still in force, and what was returned."""

    line: Line
    invoice_id: UUID
    until: datetime
    returned: Returned = field(default_factory=Returned)
    is_paid: bool = True

    @property
    def left(self) -> int:
        """What has not been returned of its amount."""
        return self.line.charge.amount - self.returned.amount


def unused(charged: Charged, at: datetime, policy: Policy, zone: str) -> Credit | None:
    """Credit what the line costs from `at` to where it is still in force; None if that is nothing.

    Its tax and discounts come back in the same share, each rounded once over all of the line's.
    """
    line, until = charged.line, charged.until
    period = line.charge.period
    if at >= until or charged.left <= 0:
        return None
    if at <= period.start:
        return whole(charged)
    rest = share(Period(at, period.end), period, policy, zone)
    gone = Share(0, 1)
    if until < period.end:
        gone = share(Period(until, period.end), period, policy, zone)
    (amount,) = _between([line.charge.amount], gone, rest)
    if amount <= 0:
        return None
    period = Period(at, until)
    if amount >= charged.left:
        return _credit(charged, period, rest, charged.left, *_all(charged))
    offs = _between([part.amount for part in line.discounts], gone, rest)
    taxes = _between([part.amount for part in line.taxes], gone, rest)
    return _credit(charged, period, rest, amount, offs, taxes)


def whole(charged: Charged) -> Credit | None:
    """Credit all that is left of the line: an odd unit of its tax may be all there is."""
    if charged.left <= 0 and gross_left(charged) <= 0:
        return None
    period = charged.line.charge.period
    return _credit(charged, period, Share(1, 1), charged.left, *_all(charged))


def amount(charged: Charged, wanted: int) -> Credit:
    """Credit `wanted` of the line's amount before discounts and taxes; no more than is left."""
    assert 0 < wanted <= charged.left
    period, of = charged.line.charge.period, Share(wanted, charged.line.charge.amount)
    offs, taxes = (
        apportion([part * wanted for part in parts], charged.left) if parts else []
        for parts in _all(charged)
    )
    return _credit(charged, period, of, wanted, offs, taxes)


def gross(charged: Charged, wanted: int) -> Credit:
    """Credit `wanted` of what the line came to with discounts and all tax; no more than is left.

    The gross is spread over the discounted amount and the taxes on top of it; the discounts and
    the taxes inside follow the discounted amount.
    """
    line, (offs_left, taxes_left) = charged.line, _all(charged)
    if wanted == gross_left(charged):
        whole_ = whole(charged)
        assert whole_ is not None
        return whole_
    net = charged.left - sum(offs_left)
    is_inside = [part.rate.inclusive for part in line.taxes]
    on_top = [tax for tax, inside in zip(taxes_left, is_inside, strict=True) if not inside]
    part, *on_top = spread(wanted, [net, *on_top])
    within = [tax for tax, inside in zip(taxes_left, is_inside, strict=True) if inside]
    offs, within = (
        apportion([each * part for each in parts], net) if parts and net else [0] * len(parts)
        for parts in (offs_left, within)
    )
    taxes = [within.pop(0) if inside else on_top.pop(0) for inside in is_inside]
    of = Share(part + sum(offs), line.charge.amount)
    return _credit(charged, line.charge.period, of, part + sum(offs), offs, taxes)


def gross_left(charged: Charged) -> int:
    """What is left of the line with its discounts and all of its tax."""
    offs, taxes = _all(charged)
    parts = zip(charged.line.taxes, taxes, strict=True)
    return charged.left - sum(offs) + sum(tax for part, tax in parts if not part.rate.inclusive)


def units(charged: Charged, quantity: int) -> int:
    """The line's amount for `quantity` units more than have come back so far; 0 beyond the last.

    Units of one line cost what they cost together: credited one by one they add up to the line.
    """
    whole_, of = charged.line.charge.amount, charged.line.charge.quantity
    done = divide(charged.returned.amount * of, whole_)
    if quantity < 1 or done + quantity > of:
        return 0
    return min(charged.left, divide(whole_ * (done + quantity), of) - charged.returned.amount)


def returned_after(charged: Charged, credit: Credit) -> Charged:
    """The line with `credit` counted among what was returned of it."""
    before = charged.returned
    discounts, taxes, taxables = (
        dict(before.discounts),
        dict(before.taxes),
        dict(before.taxables),
    )
    for off in credit.discounts:
        discounts[off.discount_id] = discounts.get(off.discount_id, 0) - off.amount
    for tax in credit.taxes:
        taxes[tax.rate.id] = taxes.get(tax.rate.id, 0) - tax.amount
        taxables[tax.rate.id] = taxables.get(tax.rate.id, 0) - tax.taxable
    so_far = Returned(before.amount - credit.charge.amount, discounts, taxes, taxables)
    given = credit.charge.period
    until = given.start if given.end >= charged.until else charged.until
    return replace(charged, returned=so_far, until=until)


def _between(amounts: Sequence[int], gone: Share, rest: Share) -> list[int]:
    """Each amount's share `rest` less its share `gone`, every share rounded once over all."""
    if not amounts:
        return []
    upper = apportion([amount * rest.part for amount in amounts], rest.whole)
    lower = apportion([amount * gone.part for amount in amounts], gone.whole)
    return [high - low for high, low in zip(upper, lower, strict=True)]


def _fitted(
    charged: Charged, amount: int, offs: Sequence[int], taxes: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The parts of a credit, with the odd unit that rounding put too much or too little moved: none
    is below zero or more than is left of it, and discounts with the taxes inside are no more than
    the amount they are in, nor is what then is left of them.
    """
    offs_left, taxes_left = _all(charged)
    fitted_offs = [min(max(off, 0), left) for off, left in zip(offs, offs_left, strict=True)]
    fitted = [min(max(tax, 0), left) for tax, left in zip(taxes, taxes_left, strict=True)]
    inside = [n for n, part in enumerate(charged.line.taxes) if part.rate.inclusive]
    parts = [*fitted_offs, *(fitted[n] for n in inside)]
    lefts = [*offs_left, *(taxes_left[n] for n in inside)]
    for n, left in enumerate(lefts):
        over = max(0, sum(parts) - amount)
        parts[n] -= min(parts[n], over)
        under = max(0, sum(lefts) - sum(parts) - (charged.left - amount))
        parts[n] += min(left - parts[n], under)
    for place, n in enumerate(inside, start=len(fitted_offs)):
        fitted[n] = parts[place]
    return parts[: len(fitted_offs)], fitted


def _all(charged: Charged) -> tuple[list[int], list[int]]:
    """What is left of each of the line's discounts and taxes."""
    line, before = charged.line, charged.returned
    return (
        [off.amount - before.discounts.get(off.discount_id, 0) for off in line.discounts],
        [tax.amount - before.taxes.get(tax.rate.id, 0) for tax in line.taxes],
    )


def _credit(
    charged: Charged,
    period: Period,
    of: Share,
    amount: int,
    offs: Sequence[int],
    taxes: Sequence[int],
) -> Credit:
    line, before = charged.line, charged.returned
    offs, taxes = _fitted(charged, amount, offs, taxes)
    inclusive = sum(tax for part, tax in zip(line.taxes, taxes, strict=True) if part.rate.inclusive)
    is_last = amount == charged.left
    parts = []
    for part, tax in zip(line.taxes, taxes, strict=True):
        left = part.taxable - before.taxables.get(part.rate.id, 0)
        taxable = left if is_last else min(left, amount - sum(offs) - inclusive)
        parts.append(TaxPart(0, part.rate, -taxable, -tax))
    charge = replace(line.charge, period=period, amount=-amount, share=of, reverses_line_id=line.id)
    return Credit(
        charge,
        tuple(
            DiscountPart(part.discount_id, -off)
            for part, off in zip(line.discounts, offs, strict=True)
            if off
        ),
        tuple(parts),
    )
