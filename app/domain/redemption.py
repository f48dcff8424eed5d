"""Who may redeem what, when, and how often: the same terms for coupons, codes and offers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.domain.errors import Problem


class Refusal(NamedTuple):
    """Why not, for programs and for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What must hold to redeem a `noun`; it can be redeemed in `[valid_from, redeem_by)`."""

    noun: str
    active: bool = True
    valid_from: datetime | None = None
    redeem_by: datetime | None = None
    max_redemptions: int | None = None
    max_redemptions_per_customer: int | None = None
    times_redeemed: int = 0
    first_time_only: bool = False
    customer_ids: frozenset[UUID] | None = None
    """Only these; None: everyone."""
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redeemer:
    """A customer as terms see one; without an id it is someone who is not known yet."""

    customer_id: UUID | None = None
    has_paid: bool = False
    times_redeemed: int = 0


def refusal(terms: Terms, redeemer: Redeemer, now: datetime) -> Refusal | None:
    """Why `redeemer` may not redeem it now; None when nothing speaks against it.

    Limits are judged by what was counted so far; redeeming itself counts under a lock.
    """
    return next(_refusals(terms, redeemer, now), None)


def _refusals(terms: Terms, redeemer: Redeemer, now: datetime) -> Iterator[Refusal]:
    noun, words = terms.noun, terms.noun.replace("_", " ")
    if not terms.active:
        yield Refusal(f"{noun}_inactive", f"This {words} is not offered any more.")
    if terms.valid_from is not None and now < terms.valid_from:
        yield Refusal(f"{noun}_not_yet_valid", f"This {words} is not valid yet.")
    if terms.redeem_by is not None and terms.redeem_by <= now:
        yield Refusal(f"{noun}_expired", f"This {words} has expired.")
    if terms.customer_ids is not None and redeemer.customer_id not in terms.customer_ids:
        yield Refusal(f"{noun}_not_for_customer", f"This {words} is for other customers.")
    if terms.first_time_only and redeemer.has_paid:
        yield Refusal(
            f"{noun}_first_time_only", f"This {words} is for customers who have not paid yet."
        )
    if terms.max_redemptions is not None and terms.times_redeemed >= terms.max_redemptions:
        yield exhausted(noun)
    most = terms.max_redemptions_per_customer
    if most is not None and redeemer.times_redeemed >= most:
        yield already_redeemed(noun)


def exhausted(noun: str) -> Refusal:
    """It has been redeemed as often as it may be."""
    words = noun.replace("_", " ")
    return Refusal(f"{noun}_exhausted", f"This {words} has been redeemed as often as it may be.")


def already_redeemed(noun: str) -> Refusal:
    """This customer has redeemed it as often as one may."""
    words = noun.replace("_", " ")
    return Refusal(
        f"{noun}_already_redeemed",
        f"The customer has redeemed this {words} as often as one customer may.",
    )


def below_minimum(terms: Terms, currency: str, amount: int) -> Refusal | None:
    """Why an order of `amount` minor units is too small for it; None when it is not."""
    if not terms.minimum_amounts:
        return None
    minimum = terms.minimum_amounts.get(currency)
    if minimum is not None and amount >= minimum:
        return None
    words = terms.noun.replace("_", " ")
    needed = f"needs a larger amount in {currency}" if minimum else f"is not for {currency}"
    return Refusal(f"{terms.noun}_minimum_amount", f"This {words} {needed}.")


def problems(terms: Terms, now: datetime, *, ends: str = "redeem_by") -> Iterator[Problem]:
    """Everything that keeps such terms from ever being met; `ends` is what callers call that."""
    for name in ("max_redemptions", "max_redemptions_per_customer"):
        most = getattr(terms, name)
        if most is not None and most < 1:
            yield Problem(f"{name} is at least 1.", name)
    if terms.redeem_by is not None and terms.redeem_by <= now:
        yield Problem("It must end in the future.", ends)
    if (
        terms.valid_from is not None
        and terms.redeem_by is not None
        and terms.redeem_by <= terms.valid_from
    ):
        yield Problem("It must end after it begins.", ends)
    if any(amount <= 0 for amount in terms.minimum_amounts.values()):
        yield Problem("A minimum is above zero.", "minimum_amounts")
