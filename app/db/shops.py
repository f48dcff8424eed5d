"""Shops in memory, loaded: subscriptions with everything that their bills depend on."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import (
    accounts,
    charged,
    dunning,
    dunning_policies,
    invoices,
    payments,
    policies,
    usage,
)
from app.db.base import Row, Tx
from app.db.subscriptions import COLUMNS
from app.db.usage import Wanted
from app.domain.calendar import Period
from app.domain.collection import Bill
from app.domain.errors import Conflict, NotFound
from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.metering import Aggregation
from app.domain.pricing import Usage
from app.domain.shop import Shop
from app.domain.shop_dunning import Backup
from app.domain.subscription import Subscription
from app.domain.tax_engine import foreseen
from app.domain.using import Used

BEHIND_MAX: Final = 12
"""Periods that metered usage is loaded for: the clock is seldom even one behind."""
ENDED: Final = "('canceled', 'incomplete_expired')"


async def rows_of_subscription(tx: Tx, subscription_id: UUID) -> list[Row]:
    """The row of one subscription, whatever became of it. Raises NotFound."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM subscriptions s "
        "WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.id = $1",
        subscription_id,
    )
    if not rows:
        raise NotFound("There is no such subscription.", code="subscription_not_found")
    return rows


async def rows_of_customer(
    tx: Tx, customer_id: UUID, limit: int, but: UUID | None = None
) -> list[Row]:
    """The rows of a customer's subscriptions that run, at most `limit`; `but` one of them."""
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s
         WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.customer_id = $1
           AND s.status NOT IN {ENDED} AND s.parked_at IS NULL AND s.id IS DISTINCT FROM $3
         ORDER BY s.id LIMIT $2
        """,
        customer_id,
        limit,
        but,
    )


async def rows_of_merchant(tx: Tx, limit: int) -> list[Row]:
    """The rows of the subscriptions that run by the wall clock, at most `limit`."""
    return await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM subscriptions s
         WHERE s.merchant_id = current_setting('app.merchant_id')::uuid
           AND s.test_clock_id IS NULL AND s.status NOT IN {ENDED} AND s.parked_at IS NULL
         ORDER BY s.id LIMIT $1
        """,
        limit,
    )


async def load(
    tx: Tx, merchant_id: UUID, rows: Sequence[Row], now: datetime, new_id: NewId
) -> Shop:
    """A shop with these subscriptions as they are at `now`, and what they owe."""
    shop = Shop(merchant_id, await policies.of_merchant(tx, merchant_id), new_id)
    if not rows:
        return shop
    found = await accounts.load(tx, rows, now)
    subs = [account.subscription for account in found]
    lines = await charged.in_force(tx, [_since(sub, now) for sub in subs if sub.period is not None])
    used = await _used(tx, subs, now)
    for account in found:
        sub = account.subscription
        kept = lines.get((sub.merchant_id, sub.id), ())
        spans = {item.id: used.get(item.id, []) for item in sub.items}
        taxation = foreseen(account.taxation, now)
        shop.add(replace(account, charged=kept, taxation=taxation), spans)
    shop.aggregations = await _aggregations(tx, subs)
    ids = [sub.id for sub in subs]
    for bill in await _owed(tx, ids):
        if bill.invoice.id not in shop.invoices:
            shop.owe(bill)
    await _dunned(tx, shop, [(merchant_id, sub.id) for sub in subs], now)
    for draft in await _drafts(tx, ids):
        shop.hold(draft)
    return shop


async def backups(tx: Tx, customers: Collection[UUID]) -> dict[UUID, tuple[Backup, ...]]:
    """The back-up payment methods of these customers that can be charged, in their order."""
    rows = await tx.fetch(
        f"""
        SELECT m.customer_id, m.id, m.type, m.brand, m.refused_at FROM payment_methods m
          JOIN gateway_accounts g
            ON g.merchant_id = m.merchant_id AND g.id = m.gateway_account_id
         WHERE m.merchant_id = current_setting('app.merchant_id')::uuid
           AND m.customer_id = ANY ($1::uuid[]) AND {dunning.BACKUP}
         ORDER BY m.backup_order, m.id
        """,
        list(customers),
    )
    found: dict[UUID, list[Backup]] = defaultdict(list)
    for row in rows:
        is_refused = row["refused_at"] is not None
        backup = Backup(row["id"], row["type"], row["brand"], is_refused)
        found[row["customer_id"]].append(backup)
    return {customer: tuple(methods) for customer, methods in found.items()}


async def is_method(tx: Tx, method_id: UUID) -> bool:
    """Whether the merchant knows this payment method."""
    found: bool = await tx.fetchval(
        """
        SELECT EXISTS (SELECT FROM payment_methods
                        WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1)
        """,
        method_id,
    )
    return found


async def _dunned(tx: Tx, shop: Shop, subs: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """The merchant's dunning policies, the runs that go on, and what can be tried instead."""
    shop.desk.backups = await backups(tx, {s.customer_id for s in shop.subscriptions.values()})
    for policy, is_default, plans in await dunning_policies.of_merchant(tx, shop.merchant_id):
        shop.desk.of_plan |= dict.fromkeys(plans, policy)
        if is_default:
            shop.desk.policy = policy
    runs = [run for run in await dunning.live_of(tx, subs) if run.invoice_id in shop.invoices]
    keys = [(run.merchant_id, run.invoice_id) for run in runs]
    tries, _ = await dunning.tried(tx, keys, now - dunning.LOOK_BACK)
    for run, key in zip(runs, keys, strict=True):
        shop.dun(run, tries.get(key, ()))


async def _owed(tx: Tx, subs: Sequence[UUID]) -> list[Bill]:
    """The invoices of these subscriptions that wait to be paid, but for those in flight."""
    rows = await tx.fetch(
        f"""
        SELECT DISTINCT ON (p.id) {payments.COLUMNS} FROM payments p
          JOIN {invoices.BILLS} b ON b.merchant_id = p.merchant_id AND b.invoice_id = p.invoice_id
         WHERE b.merchant_id = current_setting('app.merchant_id')::uuid
           AND b.subscription_id = ANY ($1::uuid[])
           AND p.status IN ('scheduled', 'requires_payment_method') ORDER BY p.id
        """,
        list(subs),
    )
    return await payments.load_bills(tx, [payments.payment(row) for row in rows])


async def _drafts(tx: Tx, subs: Sequence[UUID]) -> list[Invoice]:
    """The drafts of these subscriptions, with their lines."""
    rows = await tx.fetch(
        f"""
        SELECT {invoices.COLUMNS} FROM invoices i
         WHERE i.merchant_id = current_setting('app.merchant_id')::uuid
           AND i.subscription_id = ANY ($1::uuid[]) AND i.status = 'draft' ORDER BY i.id
        """,
        list(subs),
    )
    keys = [(row["merchant_id"], row["id"]) for row in rows]
    lines = await invoices.load_lines(tx, keys)
    return [invoices.invoice(row, lines.get(key, ())) for key, row in zip(keys, rows, strict=True)]


def _since(sub: Subscription, now: datetime) -> tuple[UUID, UUID, datetime, datetime]:
    """From when on lines are in force that something may still be about."""
    due = sub.next_action_at
    assert sub.period is not None
    return sub.merchant_id, sub.id, sub.period.start, now if due is None else min(now, due)


async def _used(tx: Tx, subs: Sequence[Subscription], now: datetime) -> dict[UUID, list[Used]]:
    """What metered items used in each of their periods up to `now`, a period at a time."""
    found: dict[UUID, list[Used]] = defaultdict(list)
    metered = [
        (sub, item)
        for sub in subs
        for item in sub.items
        if item.price.usage is Usage.METERED and sub.period is not None
    ]
    for behind in range(BEHIND_MAX + 1):
        wanted = []
        for sub, item in metered:
            part = _part(sub, item.since, behind, now)
            assert item.price.meter_id is not None
            if part is not None:
                ids = sub.merchant_id, item.id, sub.customer_id, sub.id, item.price.meter_id
                wanted.append(Wanted(*ids, part.start, part.end))
        if not wanted:
            return found
        measured = await usage.quantities(tx, wanted)
        for want in wanted:
            amount = measured[want.merchant_id, want.item_id]
            if amount.quantity or amount.events:
                found[want.item_id].append(Used(want.start, amount.quantity, amount.events))
    raise Conflict("It is too far behind; the clock catches up first.", code="subscription_behind")


def _part(sub: Subscription, since: datetime | None, behind: int, now: datetime) -> Period | None:
    """The stretch of the present period, or of one `behind` it, that usage may lie in by now."""
    assert sub.period is not None
    start, end = sub.period.start, sub.period.end
    if behind:
        index = sub.period_index + behind
        start = end if behind == 1 else sub.interval.after(sub.anchor, index, sub.zone)
        end = sub.interval.after(sub.anchor, index + 1, sub.zone)
    elif since is not None:
        start = max(start, since)
    end = min(end, now)
    return Period(start, end) if start < end else None


async def _aggregations(tx: Tx, subs: Sequence[Subscription]) -> dict[UUID, Aggregation]:
    meters = {i.price.meter_id for s in subs for i in s.items if i.price.meter_id is not None}
    if not meters:
        return {}
    rows = await tx.fetch(
        """
        SELECT id, aggregation FROM meters
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = ANY ($1::uuid[])
        """,
        list(meters),
    )
    return {row["id"]: Aggregation(row["aggregation"]) for row in rows}


async def coupons_of(tx: Tx, discounts: Collection[UUID]) -> dict[UUID, UUID]:
    """Which coupon each of these discounts is of."""
    if not discounts:
        return {}
    rows = await tx.fetch(
        """
        SELECT id, coupon_id FROM discounts
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = ANY ($1::uuid[])
        """,
        list(discounts),
    )
    return {row["id"]: row["coupon_id"] for row in rows}
