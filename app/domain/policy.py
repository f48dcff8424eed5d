"""The dials: what a merchant has decided where billing engines disagree. Each has a default.

A merchant's settings are overridden by a plan's, and these by a single call's. Names are the same
in the API ("proration_basis": "day"), in the database and here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from app.domain.discount import Stacking
from app.domain.errors import Problem
from app.domain.money import Rounding
from app.domain.pricing import Price
from app.domain.pricing import TrialEnd as TrialEnd  # noqa: PLC0414  a dial like these
from app.domain.tax import TaxRounding


class Basis(StrEnum):
    """What a part of a period is measured in."""

    SECOND = "second"
    DAY = "day"
    """Calendar days in the billing time zone."""
    NONE = "none"
    """A part costs nothing and nothing comes back."""


class StubReference(StrEnum):
    """The full period a first or last stub is a part of."""

    ALIGNED_PERIOD = "aligned_period"
    """The anchored period that contains it."""
    FROM_START = "from_start"
    """An imagined full period that begins where the stub does."""
    FIXED_30 = "fixed_30"
    """Thirty days for each month."""


class LastDay(StrEnum):
    """Whether the day of a cancellation counts as used, where parts are measured in days."""

    NOT_BILLED = "not_billed"
    BILLED = "billed"


class When(StrEnum):
    """When a change takes place."""

    NOW = "now"
    PERIOD_END = "period_end"


class Settlement(StrEnum):
    """How a change that takes place now is paid."""

    INVOICE_NOW = "invoice_now"
    """The unused part is credited and the rest charged, on an invoice at once."""
    NEXT_INVOICE = "next_invoice"
    """The same lines wait for the next invoice."""
    RESET = "reset"
    """A new period begins now at the full price; the unused part is credited."""
    RESET_WITHOUT_CREDIT = "reset_without_credit"
    NONE = "none"
    """Nothing is credited or charged for the present period."""


class DirectionBy(StrEnum):
    """What says whether a change of plan is an upgrade."""

    PLAN_RANK = "plan_rank"
    """The plans' ranks; where these are equal, the price per day."""
    PRICE = "price"


class CancelCredit(StrEnum):
    """What of a period paid in advance comes back when it is canceled now."""

    NONE = "none"
    PRORATED = "prorated"
    FULL = "full"


class CreditTo(StrEnum):
    """Where such a credit goes."""

    BALANCE = "balance"
    REFUND = "refund"


class CreditForm(StrEnum):
    """In which form what was paid in advance comes back when something changes or ends."""

    INVOICE_LINES = "invoice_lines"
    """As lines below zero of the next bill; what that is below zero becomes credit."""
    CREDIT_NOTE = "credit_note"
    """By credit notes for the invoices that it was charged on."""


class Anchor(StrEnum):
    """Where a new subscription's periods are counted from."""

    ANNIVERSARY = "anniversary"
    CALENDAR = "calendar"
    """The first of the month or year, or Monday; before it comes a stub."""
    CUSTOMER = "customer"
    """The boundaries of the customer's oldest running subscription, if there is one."""


class AnchorChange(StrEnum):
    """How a running subscription comes to another anchor."""

    GAP = "gap"
    """The paid period stays as it is and becomes longer, up to the new boundary; the rest is billed
    at once.
    """
    RESET = "reset"
    """A period up to the new boundary begins at once; what is left of the old one comes back."""


class FirstPeriod(StrEnum):
    """What a stub before the first full period costs."""

    PRORATED = "prorated"
    FULL = "full"
    FREE = "free"


class PauseUnused(StrEnum):
    """What becomes of the rest of a paid period when a subscription is paused."""

    KEEP = "keep"
    """Nothing comes back; it runs on."""
    CREDIT = "credit"


class PauseResume(StrEnum):
    """What begins when it is resumed after the paid period is over."""

    NEW_PERIOD = "new_period"
    """A full one; boundaries are counted from there on."""
    STUB = "stub"
    """A part of one, to the next boundary of old."""


class CouponOnProration(StrEnum):
    """Whether charges for a part of a period are discounted."""

    FOLLOWS_LINE = "follows_line"
    NOT_PRORATED = "not_prorated"


class Consolidation(StrEnum):
    """Whether renewals at the same instant become one invoice."""

    OFF = "off"
    """Each subscription has its own."""
    CUSTOMER = "customer"
    """One for all of a customer's that are collected alike."""


class LatePayments(StrEnum):
    """What becomes of money that a gateway took after its attempt was closed, or twice."""

    REVIEW = "review"
    """A person decides."""
    APPLY = "apply"
    """It pays the invoice it was for, or becomes the customer's credit."""
    REFUND = "refund"


class SecondTrial(StrEnum):
    """Whether a customer may try plans of the same family again."""

    REFUSED = "refused"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Every dial at its default; see `app/domain/README.md` for who does what elsewhere."""

    rounding: Rounding = Rounding.HALF_AWAY
    proration_basis: Basis = Basis.SECOND
    proration_stub_reference: StubReference = StubReference.ALIGNED_PERIOD
    proration_last_day: LastDay = LastDay.NOT_BILLED
    upgrade: When = When.NOW
    downgrade: When = When.PERIOD_END
    quantity_increase: When = When.NOW
    quantity_decrease: When = When.NOW
    interval_change: When = When.NOW
    settlement: Settlement = Settlement.INVOICE_NOW
    direction_by: DirectionBy = DirectionBy.PLAN_RANK
    cancel_when: When = When.PERIOD_END
    cancel_credit: CancelCredit = CancelCredit.NONE
    cancel_credit_to: CreditTo = CreditTo.BALANCE
    credit_form: CreditForm = CreditForm.INVOICE_LINES
    anchor: Anchor = Anchor.ANNIVERSARY
    anchor_change: AnchorChange = AnchorChange.GAP
    first_period: FirstPeriod = FirstPeriod.PRORATED
    pause_unused: PauseUnused = PauseUnused.KEEP
    pause_resume: PauseResume = PauseResume.NEW_PERIOD
    coupon_stacking: Stacking = Stacking.PERCENT_FIRST
    coupon_on_proration: CouponOnProration = CouponOnProration.FOLLOWS_LINE
    tax_rounding: TaxRounding = TaxRounding.PER_INVOICE
    invoice_grace_days: int = 0
    invoice_consolidation: Consolidation = Consolidation.OFF
    trial_end_without_payment_method: TrialEnd = TrialEnd.CANCEL
    second_trial: SecondTrial = SecondTrial.REFUSED
    late_usage_days: int = 30
    late_payments: LatePayments = LatePayments.REVIEW


DEFAULT: Final = Policy()
GRACE_DAYS_MAX: Final = 60
LATE_USAGE_DAYS_MAX: Final = 365
DAYS_MAX: Final = {"invoice_grace_days": GRACE_DAYS_MAX, "late_usage_days": LATE_USAGE_DAYS_MAX}
TYPES: Final[Mapping[str, type]] = {f.name: type(getattr(DEFAULT, f.name)) for f in fields(Policy)}


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """What in `settings` is not a dial, or not a value of its dial."""
    for name, value in settings.items():
        kind = TYPES.get(name)
        if kind is None:
            yield Problem(f"There is no billing setting {name!r}.", name)
        elif issubclass(kind, StrEnum):
            values = [member.value for member in kind]
            if value not in values:
                yield Problem(f"{name} is one of {', '.join(values)}.", name)
        elif type(value) is not int or not 0 <= value <= DAYS_MAX[name]:
            yield Problem(f"{name} is from 0 to {DAYS_MAX[name]} days.", name)


def override(policy: Policy, settings: Mapping[str, Any]) -> Policy:
    """`policy` with what `settings` say differently; they have no problems."""
    if not settings:
        return policy
    return replace(policy, **{name: TYPES[name](value) for name, value in settings.items()})


def narrowed(merchants: Policy, prices: Iterable[Price], settings: Mapping[str, object]) -> Policy:
    """The merchant's policy with what the plans say otherwise, and then the subscription."""
    found = merchants
    for price in prices:
        if price.plan_settings:
            found = override(found, price.plan_settings)
    return override(found, settings) if settings else found


@lru_cache(maxsize=1024)
def of_settings(text: tuple[tuple[str, object], ...]) -> Policy:
    """The policy of a merchant whose settings are these pairs: one object for all who ask."""
    return override(DEFAULT, dict(text))


def said(policy: Policy) -> dict[str, object]:
    """The dials that differ from their defaults, as settings."""
    return {
        name: getattr(policy, name)
        for name in TYPES
        if getattr(policy, name) != getattr(DEFAULT, name)
    }
