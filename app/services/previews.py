"""Previews of invoices: what would come of a subscription, a change or a cancellation.

State is loaded as for the real thing, but nothing is locked; decisions are made as for the real
thing, but none is recorded.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import balances, billing, offers, shops, subscriptions
from app.db.ahead import Lead
from app.db.base import Row, Tx
from app.db.offers import Claim
from app.domain import command, signup
from app.domain.billing import Account
from app.domain.calendar import Interval, Unit
from app.domain.decision import Decision
from app.domain.errors import InvalidRequest
from app.domain.noting import BY_LINES
from app.domain.preview import STEPS_MAX, Preview, preview
from app.domain.shop import Shop
from app.domain.tax_engine import foreseen
from app.ids import new_id
from app.runtime import Runtime
from app.services import billing_ahead, changes, enrolment, phasing
from app.services.caller import Caller
from app.services.changes import ChangeSubscription, MoveAnchor
from app.services.enrolment import CreateSubscription
from app.services.moments import time_of
from app.services.subscriptions import (
    Cancel,
    check_version,
    now_of_customer,
    way_of,
)

OTHERS_MAX: Final = 50
"""Further subscriptions of the customer that are looked at: they may use up credit before."""
AHEAD_MAX: Final = Interval(Unit.YEAR, 3)
"""How far ahead a preview may lie."""


@dataclass(frozen=True, slots=True)
class PreviewInvoices:
    """One of a new subscription, a change, a cancellation, another anchor; or a subscription as it
    stands.

    `at`: everything until then happens first.
    """

    subscription_id: UUID | None = None
    create: CreateSubscription | None = None
    change: ChangeSubscription | None = None
    cancel: Cancel | None = None
    move: MoveAnchor | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Previewed:
    """The preview, which coupon each discount in it is of, and which lines are its own."""

    preview: Preview
    coupons: dict[UUID, UUID]
    invented: Collection[UUID]


async def invoices(rt: Runtime, caller: Caller, cmd: PreviewInvoices) -> Previewed:
    """The invoices that would come. Raises what the real thing would raise."""
    leads = await billing_ahead.leads(rt)
    async with rt.db.look(caller.merchant_id) as tx:
        if cmd.create is not None:
            return await _of_new(rt, tx, caller, cmd.create, cmd.at)
        return await _of_running(rt, tx, caller, cmd, leads)


async def _of_new(
    rt: Runtime, tx: Tx, caller: Caller, create: CreateSubscription, at: datetime | None
) -> Previewed:
    customer = await billing.customer(tx, create.customer_id)
    now = time_of(rt, customer["frozen_at"], customer["clock_status"])
    rows = await shops.rows_of_customer(tx, create.customer_id, OTHERS_MAX)
    shop = await shops.load(tx, caller.merchant_id, rows, now, new_id)
    at = await _go_on(shop, now, at)
    claim = None
    if create.offer_token is not None:
        way, coupon = await offers.judged(tx, create.offer_token, create.customer_id, now)
        gift = way.offer.gift
        claim = offers.Claim(way.offer.id, coupon, gift.price_id, gift.trial_days, new_id())
    wanted = (await enrolment.whole(tx, caller, create, customer, now, claim)).create
    wanted = replace(wanted, taxation=foreseen(wanted.taxation, now))
    currency = wanted.items[0][0].currency
    if not rows:
        key = caller.merchant_id, create.customer_id, currency
        shop.credit[create.customer_id, currency] = (await balances.load(tx, [key]))[key].amount
    method_id = create.payment_method_id or customer["default_payment_method_id"]
    held = shop.balance(create.customer_id, currency)
    decision = signup.create(wanted, held, method_id, at, new_id)
    if create.phases:
        decision, _, _ = await phasing.begin_with(
            tx, decision, create.phases, create.end_behaviour, wanted.policy, at
        )
    [sub] = decision.subscriptions
    account = Account(sub, held, method_id, policy=wanted.policy, taxation=wanted.taxation)
    shop.accounts[sub.id] = account
    known = {discount.id: discount.coupon.id for discount in wanted.discounts}
    return await _previewed(tx, shop, decision, sub.id, at, known)


async def _promised(tx: Tx, token: str, customer_id: UUID, at: datetime) -> Claim:
    """What an offer would give; it is not redeemed. Raises InvalidRequest."""
    way, coupon = await offers.judged(tx, token, customer_id, at)
    gift = way.offer.gift
    return Claim(way.offer.id, coupon, gift.price_id, gift.trial_days, new_id())


async def _of_running(
    rt: Runtime, tx: Tx, caller: Caller, cmd: PreviewInvoices, leads: Sequence[Lead]
) -> Previewed:
    subscription_id = cmd.subscription_id
    assert subscription_id is not None
    rows: list[Row] = await shops.rows_of_subscription(tx, subscription_id)
    customer_id = rows[0]["customer_id"]
    now = await now_of_customer(rt, tx, customer_id)
    rows += await shops.rows_of_customer(tx, customer_id, OTHERS_MAX, subscription_id)
    shop = await shops.load(tx, caller.merchant_id, rows, now, new_id)
    await billing_ahead.into(tx, shop, leads)
    if await subscriptions.is_parked(tx, subscription_id):
        shop.parked[subscription_id] = "parked"
    at = await _go_on(shop, now, cmd.at)
    account = shop.account(subscription_id, at)
    if not shop.steps:  # invoices that are made on the way cannot be corrected by what is stored
        account = replace(account, corrected=shop.accounts[subscription_id].corrected)
    decision: Decision | None = None
    if cmd.change is not None:
        check_version(account, cmd.change.expected_version)
        if cmd.change.release:
            account, _ = await phasing.without(tx, account, at)
        wanted = await changes.wanted(tx, account, cmd.change)
        decision = command.change(account, wanted, cmd.change.when, at, new_id)
    elif cmd.move is not None:
        check_version(account, cmd.move.expected_version)
        decision = command.move_anchor(account, cmd.move.billing_anchor, cmd.move.how, at, new_id)
    elif cmd.cancel is not None:
        check_version(account, cmd.cancel.expected_version)
        way = BY_LINES if shop.steps else await way_of(tx, account, cmd.cancel)
        decision = command.cancel(account, cmd.cancel.when, cmd.cancel.credit, at, new_id, way)
    return await _previewed(tx, shop, decision, subscription_id, at)


async def _go_on(shop: Shop, now: datetime, at: datetime | None) -> datetime:
    """Let everything happen that is due until `at`, or by now. Raises InvalidRequest."""
    at = at or now
    if not now <= at <= AHEAD_MAX.after(now, 1):
        raise InvalidRequest("A preview is for now or for the next three years.", param="at")
    if not await asyncio.to_thread(shop.run, at, STEPS_MAX):
        raise InvalidRequest(
            f"More than {STEPS_MAX} things happen until then.", code="too_many_steps", param="at"
        )
    return at


async def _previewed(
    tx: Tx,
    shop: Shop,
    decision: Decision | None,
    subscription_id: UUID,
    at: datetime,
    coupons: dict[UUID, UUID] | None = None,
) -> Previewed:
    known = dict(coupons or {})
    made = await asyncio.to_thread(preview, shop, decision, subscription_id, at)
    bills = [*made.invoices, *([] if made.next is None else [made.next])]
    parts = {part.discount_id for bill in bills for line in bill.lines for part in line.discounts}
    known |= await shops.coupons_of(tx, parts - known.keys())
    return Previewed(made, known, shop.made.keys())
