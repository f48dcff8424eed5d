"""Changing what a subscription is: other items now or later, paused, resumed, a longer trial."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app import ids
from app.db import billing, decisions, prices
from app.db.base import Tx
from app.domain import changing, command, phases, pricing
from app.domain.billing import Account
from app.domain.decision import Decision, ScheduledState
from app.domain.policy import AnchorChange, PauseUnused, Settlement, When
from app.domain.subscription import Change, ItemChange, Pause, PausedInvoices
from app.ids import new_id
from app.runtime import Runtime
from app.services import idempotency, phasing
from app.services.caller import Caller
from app.services.subscriptions import collect, lock_caught_up


@dataclass(frozen=True, slots=True)
class ChangedItem:
    """An item that becomes another (`id`), a new one (`price_id` alone), or one that goes."""

    id: UUID | None = None
    price_id: UUID | None = None
    quantity: int | None = None
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class ChangeSubscription:
    """What shall be otherwise, when, and how the difference is settled.

    Without `when` and `settlement` the billing settings decide: the merchant's, then the plan's.
    """

    id: UUID
    items: Sequence[ChangedItem]
    when: When | datetime | None = None
    settlement: Settlement | None = None
    expected_version: int | None = None
    release: bool = False
    """Let go of the remaining phases of its schedule first; without, such a change is refused."""


@dataclass(frozen=True, slots=True)
class PauseSubscription:
    """When it begins and ends, what is billed meanwhile, and what of a paid period comes back."""

    id: UUID
    when: When = When.NOW
    invoices: PausedInvoices = PausedInvoices.NONE
    resumes_at: datetime | None = None
    unused: PauseUnused | None = None
    expected_version: int | None = None


async def change(rt: Runtime, caller: Caller, cmd: ChangeSubscription) -> UUID:
    """Change items, prices or quantities: now, when the period is over, or at a date."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.id, cmd.expected_version)
        released: tuple[ScheduledState, ...] = ()
        if cmd.release:
            account, released = await phasing.released(tx, account, now)
        decision = await decide(tx, account, cmd, now)
        decision = replace(decision, scheduled=(*released, *decision.scheduled))
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", cmd.id))
    await collect(rt, decision, now)
    return cmd.id


async def decide(tx: Tx, account: Account, cmd: ChangeSubscription, now: datetime) -> Decision:
    """What the change would be: the decision, not recorded."""
    return command.change(account, await wanted(tx, account, cmd), cmd.when, now, new_id)


async def wanted(tx: Tx, account: Account, cmd: ChangeSubscription) -> Change:
    """The change with its prices. Raises InvalidRequest."""
    merchant = account.subscription.merchant_id
    known = {item.id: item.price.id for item in account.subscription.items}
    named = [item.price_id for item in cmd.items if item.price_id is not None]
    anew = [
        item.price_id
        for item in cmd.items
        if item.price_id is not None and (item.id is None or known.get(item.id) != item.price_id)
    ]
    await billing.check_prices(tx, anew)
    priced = await prices.load(tx, ((merchant, price) for price in named))
    if anew:
        country = await billing.country_of(tx, account.subscription.customer_id)
        for place, item in enumerate(cmd.items):
            if item.price_id in anew:
                price = priced[merchant, item.price_id]
                pricing.check_offered(price, country, param=f"items[{place}].price_id")
    items = tuple(
        ItemChange(
            item_id=item.id,
            price=None if item.price_id is None else priced[merchant, item.price_id],
            quantity=item.quantity,
            is_removed=item.is_removed,
        )
        for item in cmd.items
    )
    return Change(items=items, settlement=cmd.settlement)


async def unschedule(
    rt: Runtime,
    caller: Caller,
    subscription_id: UUID,
    scheduled_id: UUID,
    expected_version: int | None = None,
) -> UUID:
    """Take back a scheduled change that has not happened yet."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id, expected_version)
        sub = account.subscription
        if any(s.id == scheduled_id and s.phase is not None for s in sub.scheduled):
            phases.check_none_left(sub)
        decision = changing.unschedule(sub, scheduled_id, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    return subscription_id


async def pause(rt: Runtime, caller: Caller, cmd: PauseSubscription) -> UUID:
    """Pause a subscription now, or when its period is over."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.id, cmd.expected_version)
        wanted = Pause(now, cmd.invoices, cmd.resumes_at)
        decision = command.pause(account, wanted, cmd.when, cmd.unused, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", cmd.id))
    await collect(rt, decision, now)
    return cmd.id


async def resume(
    rt: Runtime, caller: Caller, subscription_id: UUID, expected_version: int | None = None
) -> UUID:
    """Let a paused subscription go on, and collect what its pause has held back."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id, expected_version)
        decision = command.resume(account, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    await collect(rt, decision, now)
    await rt.bell.ring("finalize")
    return subscription_id


@dataclass(frozen=True, slots=True)
class MoveAnchor:
    """From where on periods are counted, and how it gets there; None: as the settings say."""

    id: UUID
    billing_anchor: datetime
    how: AnchorChange | None = None
    expected_version: int | None = None


async def move_anchor(rt: Runtime, caller: Caller, cmd: MoveAnchor) -> UUID:
    """Count the subscription's periods from another instant."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.id, cmd.expected_version)
        decision = command.move_anchor(account, cmd.billing_anchor, cmd.how, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", cmd.id))
    await collect(rt, decision, now)
    return cmd.id


async def set_trial_end(
    rt: Runtime,
    caller: Caller,
    subscription_id: UUID,
    at: datetime | None,
    expected_version: int | None = None,
) -> UUID:
    """End a trial at another moment; None: now."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id, expected_version)
        phases.check_none_left(account.subscription)
        decision = changing.set_trial_end(account.subscription, at or now, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    await rt.bell.ring("renew")
    return subscription_id
