"""What a new subscription is made of: read, judged and put together, without making it yet.

Creating one and previewing one both begin here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import billing, discounts, policies, prices, redemptions, taxes
from app.db.base import Row, Tx
from app.db.offers import Claim
from app.db.redemptions import Resolved
from app.domain import discount, pricing, signup
from app.domain import policy as policy_rules
from app.domain.discount import Discount
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection
from app.domain.phases import EndBehaviour
from app.domain.policy import Anchor, Policy, SecondTrial
from app.domain.pricing import Price, TrialEnd
from app.ids import new_id
from app.services.caller import Caller
from app.services.phasing import WantedPhase

DISCOUNTS_MAX: Final = 10
TAX_RATES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class CreateSubscription:
    """What a customer subscribes to, from when, and how it is collected."""

    customer_id: UUID
    items: Sequence[tuple[UUID, int]]
    """(price id, quantity)"""
    coupon_ids: Sequence[UUID] = ()
    promotion_codes: Sequence[str] = ()
    offer_token: str | None = field(default=None, repr=False)
    tax_rate_ids: Sequence[UUID] = ()
    collection: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: int = 0
    payment_method_id: UUID | None = None
    start_at: datetime | None = None
    trial_days: int | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    one_off_items: Sequence[tuple[UUID, int]] = ()
    """(one-time price id, quantity), charged with the first invoice."""
    billing_anchor: datetime | None = None
    cycles: int | None = None
    automatic_tax: bool = False
    trial_end: datetime | None = None
    trial_end_without_payment_method: TrialEnd | None = None
    billing_settings: Mapping[str, object] = field(default_factory=dict)
    phases: Sequence[WantedPhase] = ()
    """A schedule; the items and coupons above are those of the first phase."""
    end_behaviour: EndBehaviour = EndBehaviour.RELEASE


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The subscription to be, and the coupons that are to be redeemed with it."""

    create: signup.Create
    redeemed: Sequence[Resolved] = ()


async def whole(
    tx: Tx,
    caller: Caller,
    cmd: CreateSubscription,
    customer: Row,
    now: datetime,
    claim: Claim | None = None,
) -> Enrolment:
    """Read and judge what is asked for; nothing is written. Raises InvalidRequest."""
    _check(cmd)
    if cmd.payment_method_id is not None:
        await billing.payment_method_of(tx, cmd.customer_id, cmd.payment_method_id)
    items, one_offs = await _priced(tx, caller.merchant_id, cmd, customer, claim)
    policy = policies.narrowed(
        await policies.of_merchant(tx, caller.merchant_id),
        [price for price, _ in items],
        cmd.billing_settings,
    )
    key = (caller.merchant_id, cmd.customer_id)
    given = await redemptions.resolve(
        tx, cmd.customer_id, cmd.coupon_ids, cmd.promotion_codes, now, currency=items[0][0].currency
    )
    create = signup.Create(
        merchant_id=caller.merchant_id,
        customer_id=cmd.customer_id,
        items=items,
        one_offs=one_offs,
        zone=customer["zone"],
        discounts=(
            *_discounts(given, claim),
            *(await discounts.of_customers(tx, [key])).get(key, ()),
        ),
        rates=tuple(await billing.tax_rates(tx, cmd.tax_rate_ids)),
        collection=cmd.collection,
        net_days=cmd.net_days,
        payment_method_id=cmd.payment_method_id,
        start_at=cmd.start_at,
        trial_days=await _trial_days(tx, cmd, customer, items[0][0], policy, claim),
        trial_end=cmd.trial_end,
        cancel_at=cmd.cancel_at,
        cancel_at_period_end=cmd.cancel_at_period_end,
        test_clock_id=customer["test_clock_id"],
        external_id=cmd.external_id,
        metadata=cmd.metadata,
        anchor=cmd.billing_anchor,
        customers_anchor=await billing.anchor_of_customer(tx, cmd.customer_id)
        if policy.anchor is Anchor.CUSTOMER
        else None,
        cycles=cmd.cycles,
        automatic_tax=cmd.automatic_tax,
        trial_end_without_payment_method=cmd.trial_end_without_payment_method,
        policy=policy,
        settings=cmd.billing_settings,
        taxation=(await taxes.load(tx, [key]))[key] if cmd.automatic_tax else None,
    )
    return Enrolment(create, given)


def _check(cmd: CreateSubscription) -> None:
    if len(cmd.coupon_ids) + len(cmd.promotion_codes) > DISCOUNTS_MAX:
        raise InvalidRequest(f"At most {DISCOUNTS_MAX} discounts.", param="coupon_ids")
    if len(cmd.tax_rate_ids) > TAX_RATES_MAX:
        raise InvalidRequest(f"At most {TAX_RATES_MAX} tax rates.", param="tax_rate_ids")
    if found := list(policy_rules.problems(cmd.billing_settings)):
        raise InvalidRequest.of(found)


Priced = list[tuple[Price, int]]


async def _priced(
    tx: Tx, merchant: UUID, cmd: CreateSubscription, customer: Row, claim: Claim | None
) -> tuple[Priced, Priced]:
    """The items and what is charged once; an offer's own price takes the place of the first."""
    wanted = list(cmd.items)
    if claim is not None and claim.price_id is not None:
        wanted = [(claim.price_id, wanted[0][1] if wanted else 1), *wanted[1:]]
    await billing.check_prices(tx, [price for price, _ in wanted], "items")
    await billing.check_prices(tx, [price for price, _ in cmd.one_off_items], "one_off_items")
    ids = [price for price, _ in (*wanted, *cmd.one_off_items)]
    priced = await prices.load(tx, ((merchant, price) for price in ids))
    items = [(priced[merchant, price], quantity) for price, quantity in wanted]
    one_offs = [(priced[merchant, price], quantity) for price, quantity in cmd.one_off_items]
    for among, found in (("items", items), ("one_off_items", one_offs)):
        for place, (price, _) in enumerate(found):
            pricing.check_offered(price, customer["country"], param=f"{among}[{place}].price_id")
    pricing.check_together([price for price, _ in items])
    return items, one_offs


def _discounts(given: Sequence[Resolved], claim: Claim | None) -> list[Discount]:
    found = [
        discount.redeem(resolved.coupon, new_id(), promotion_code_id=resolved.promotion_code_id)
        for resolved in given
    ]
    if claim is not None and claim.coupon is not None:
        found.append(discount.redeem(claim.coupon, new_id(), offer_id=claim.offer_id))
    return found


async def _trial_days(
    tx: Tx,
    cmd: CreateSubscription,
    customer: Row,
    price: Price,
    policy: Policy,
    claim: Claim | None,
) -> int | None:
    """The days to try it for; None: what the price says. A family of plans is tried once only,
    unless the billing settings allow it, or an offer gives the trial.
    """
    if claim is not None and claim.trial_days is not None:
        return claim.trial_days
    days = price.trial_days if cmd.trial_days is None else cmd.trial_days
    if not days and cmd.trial_end is None:
        return 0
    if price.trial_requires_payment_method and not (
        cmd.payment_method_id or customer["default_payment_method_id"]
    ):
        raise InvalidRequest(
            "This trial needs a payment method first.",
            code="payment_method_missing",
            param="payment_method_id",
        )
    if policy.second_trial is SecondTrial.ALLOWED or not await billing.has_tried(
        tx, cmd.customer_id, price.plan_id, price.plan_family
    ):
        return days
    if cmd.trial_days or cmd.trial_end is not None:
        raise InvalidRequest(
            "The customer has tried a plan of this family before.",
            code="trial_used",
            param="trial_days",
        )
    return 0
