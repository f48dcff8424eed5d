"""Subscriptions through the API: created, changed, canceled. The clock's part is in `renewals`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.db import (
    accounts,
    balances,
    billing,
    corrected,
    decisions,
    dunning_due,
    offers,
    redemptions,
    subscriptions,
)
from app.db import payments as payment_rows
from app.db.base import Tx
from app.domain import command, lifecycle, signup
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import Conflict, Stale
from app.domain.noting import BY_LINES, Way
from app.domain.policy import CancelCredit, Consolidation, CreditForm, CreditTo, When
from app.domain.shop import FAULTS
from app.domain.subscription import Subscription
from app.ids import new_id
from app.runtime import Runtime
from app.services import (
    deeds,
    enrolment,
    idempotency,
    payment_actions,
    payments,
    phasing,
    refund_calls,
    stepping,
)
from app.services.caller import Caller
from app.services.enrolment import CreateSubscription
from app.services.metadata import merged
from app.services.moments import now_of_customer as now_of_customer  # noqa: PLC0414
from app.services.moments import time_of


@dataclass(frozen=True, slots=True)
class Cancel:
    """When it ends and what comes back; None: as the merchant's billing settings say."""

    id: UUID
    when: When | datetime | None = None
    credit: CancelCredit | None = None
    expected_version: int | None = None
    credit_to: CreditTo | None = None


@dataclass(frozen=True, slots=True)
class UpdateSubscription:
    """Fields to change; a field that is not among `changes` stays.

    Known: payment_method_id, metadata (merged; None takes a key out), cancel_at_period_end,
    collection_method, net_days, automatic_tax, tax_rate_ids.
    """

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateSubscription) -> UUID:
    """Create a subscription and, where money is due at once, try to collect it before answering.

    Without a payment that succeeds it stays `incomplete` and expires after 23 hours.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        customer = await billing.customer(tx, cmd.customer_id)
        now = time_of(rt, customer["frozen_at"], customer["clock_status"])
        claim = None
        if cmd.offer_token is not None:
            claim = await offers.claim(tx, cmd.offer_token, cmd.customer_id, now)
        order = await enrolment.whole(tx, caller, cmd, customer, now, claim)
        create_ = order.create
        key = (caller.merchant_id, cmd.customer_id, create_.items[0][0].currency)
        held = await balances.load(tx, [key])
        method_id = cmd.payment_method_id or customer["default_payment_method_id"]
        decision = signup.create(create_, held[key], method_id, now, new_id)
        redeemed, planned = list(order.redeemed), None
        if cmd.phases:
            decision, planned, further = await phasing.begin_with(
                tx, decision, cmd.phases, cmd.end_behaviour, create_.policy, now
            )
            redeemed += further
        await decisions.record(tx, [decision], now)
        sub = decision.subscriptions[0]
        if planned is not None:
            await phasing.keep(tx, sub.id, cmd.phases, planned, now)
        await redemptions.redeem_all(tx, redeemed, cmd.customer_id, now, subscription_id=sub.id)
        if claim is not None:
            await redemptions.belong_to(tx, claim.redemption_id, sub.id)
        await idempotency.answered(tx, caller, ids.show("sub", sub.id))
    await collect(rt, decision, now)
    return sub.id


async def collect(rt: Runtime, decision: Decision, now: datetime) -> None:
    """Try the decision's payments at once, by the same way as the clock's."""
    due = [payment.id for payment in decision.payments if payment.due_at is not None]
    if due:
        await payments.collect_due(rt, now=now, only=due)


async def cancel(rt: Runtime, caller: Caller, cmd: Cancel) -> UUID:
    """End a subscription now, when its period is over, or at a date; credit what comes back.

    A first payment that waits for its customer is given up before. Raises Unavailable where the
    gateway does not answer to that.
    """
    try:
        return await _cancel(rt, caller, cmd)
    except Conflict as error:
        if error.code != "payment_in_flight":
            raise
        async with rt.db.begin(caller.merchant_id) as tx:
            waits = await payment_rows.waiting_for_customer(tx, cmd.id)
        if waits is None:
            raise
    await payment_actions.give_up(rt, await payment_actions.load(rt, caller, waits))
    return await _cancel(rt, caller, cmd)


async def _cancel(rt: Runtime, caller: Caller, cmd: Cancel) -> UUID:
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.id, cmd.expected_version)
        way = await way_of(tx, account, cmd)
        decision = command.cancel(account, cmd.when, cmd.credit, now, new_id, way)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", cmd.id))
    await refund_calls.carry_out(rt, decision.refunds, now)
    await collect(rt, decision, now)
    await rt.bell.ring("collect")
    return cmd.id


async def way_of(tx: Tx, account: Account, cmd: Cancel) -> Way:
    """By credit notes comes back what nobody has paid, what is to be refunded, and all of it where
    that is the form of credits.
    """
    policy = account.policy
    to = cmd.credit_to or policy.cancel_credit_to
    gives = (cmd.credit or policy.cancel_credit) is not CancelCredit.NONE
    if not gives or (cmd.when or policy.cancel_when) is not When.NOW:
        return BY_LINES
    all_of_it = to is CreditTo.REFUND or policy.credit_form is CreditForm.CREDIT_NOTE
    wanted = [c.invoice_id for c in account.creditable if all_of_it or not c.is_paid]
    merchant = account.subscription.merchant_id
    found = await corrected.of_invoices(tx, [(merchant, one) for one in wanted])
    return Way(found, to, payments.reference)


async def keep(
    rt: Runtime, caller: Caller, subscription_id: UUID, expected_version: int | None = None
) -> UUID:
    """Take back a cancellation that has not happened yet."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id, expected_version)
        decision = lifecycle.keep(account.subscription, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    return subscription_id


async def update(rt: Runtime, caller: Caller, cmd: UpdateSubscription) -> UUID:
    """Change how a subscription is paid, what it carries, or whether it ends with its period."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.id, cmd.expected_version)
        sub = account.subscription
        wanted = await _wanted(tx, sub, cmd.changes)
        decision = lifecycle.edit(sub, wanted, now, new_id)
        await decisions.record(tx, [decision], now)
        [edited] = decision.subscriptions
        await subscriptions.set_options(tx, sub.id, edited.metadata, edited.automatic_tax)
        if "rates" in wanted:
            await subscriptions.set_tax_rates(tx, sub.id, [rate.id for rate in edited.rates])
        method_id = wanted.get("payment_method_id")
        if method_id is not None and method_id != sub.payment_method_id:
            about = sub.merchant_id, sub.customer_id, method_id
            await dunning_due.method_changed(tx, *about, now)
        await idempotency.answered(tx, caller, ids.show("sub", sub.id))
    rt.bell.ring_soon("dun")
    return sub.id


async def _wanted(tx: Tx, sub: Subscription, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as decisions know them, each checked. Raises InvalidRequest."""
    wanted = {
        name: changes[name]
        for name in ("cancel_at_period_end", "net_days", "automatic_tax")
        if name in changes
    }
    if "collection_method" in changes:
        wanted["collection"] = changes["collection_method"]
    if "payment_method_id" in changes:
        method_id = wanted["payment_method_id"] = changes["payment_method_id"]
        if method_id is not None and method_id != sub.payment_method_id:
            await billing.payment_method_of(tx, sub.customer_id, method_id)
    if "metadata" in changes:
        wanted["metadata"] = merged(sub.metadata, changes["metadata"] or {})
    if "tax_rate_ids" in changes:
        wanted["rates"] = tuple(await billing.tax_rates(tx, changes["tax_rate_ids"]))
    return wanted


async def unpark(rt: Runtime, caller: Caller, subscription_id: UUID) -> UUID:
    """Put a parked subscription back on the clock, once what parked it is mended."""
    async with rt.db.begin(caller.merchant_id) as tx:
        await accounts.lock(tx, subscription_id)
        if not await subscriptions.unpark(tx, subscription_id):
            raise Conflict("It is not parked.", code="subscription_not_parked")
        await deeds.note(tx, caller, "subscription.unparked", subscription_id, rt.clock.now())
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    await rt.bell.ring("renew")
    return subscription_id


async def lock_caught_up(
    rt: Runtime, tx: Tx, subscription_id: UUID, expected_version: int | None = None
) -> tuple[Account, datetime]:
    """A subscription, locked, after everything that was due on it has happened.

    So no change can slip in before a period that has begun is billed. A parked one is as it is. It
    comes with what it used and what is in force, as of now. Raises Stale where the caller has seen
    another version (None: does not care) than it has then.
    """
    account = await accounts.lock(tx, subscription_id)
    now = await now_of_customer(rt, tx, account.subscription.customer_id)
    if not await subscriptions.is_parked(tx, subscription_id):
        for _ in range(lifecycle.CATCH_UP_PERIODS_MAX):
            due = account.subscription.next_action_at
            if due is None or due > now:
                break
            await decisions.record(tx, await _due_step(tx, account, now), now)
            account = await accounts.lock(tx, subscription_id)
        else:
            raise Conflict(
                "It is too far behind; the clock catches up first.", code="subscription_behind"
            )
    account = await accounts.lock(tx, subscription_id, now)
    check_version(account, expected_version)
    return account, now


async def _due_step(tx: Tx, account: Account, now: datetime) -> list[Decision]:
    """What is due next on a subscription; where several are billed together, on all of them that
    nobody else has locked.
    """
    if account.policy.invoice_consolidation is not Consolidation.CUSTOMER:
        return [lifecycle.step(account, now, new_id)]
    rows = await subscriptions.due_with(tx, account.subscription.id)
    try:
        return stepping.together(await accounts.load(tx, rows), now)
    except FAULTS:  # of another of the customer's; if it is this one's, it is told just so
        return [lifecycle.step(account, now, new_id)]


def check_version(account: Account, expected: int | None) -> None:
    """Refuse a change of another version than the caller has seen. Raises Stale."""
    version = account.subscription.version
    if expected is not None and expected != version:
        raise Stale(f"It has changed meanwhile: the present version is {version}.")
