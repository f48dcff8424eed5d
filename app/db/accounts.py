"""Subscriptions as decisions need them: with everything their bills depend on, many at a time."""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.db import (
    ahead,
    balances,
    charged,
    corrected,
    discounts,
    invoices,
    payments,
    pending,
    policies,
    scheduled,
    taxes,
    usage,
    usage_charges,
)
from app.db import subscription_parts as parts
from app.db.base import Row, Tx
from app.db.subscriptions import COLUMNS
from app.db.usage import Wanted
from app.domain import pending as pending_rules
from app.domain.billing import Account, Metered
from app.domain.crediting import Charged
from app.domain.errors import NotFound
from app.domain.issuing import Corrected
from app.domain.pending import PendingItem, Taxation
from app.domain.policy import CreditForm, Policy
from app.domain.pricing import Usage
from app.domain.subscription import PausedInvoices, Status, Subscription

Key = tuple[UUID, UUID]


async def lock(tx: Tx, subscription_id: UUID, now: datetime | None = None) -> Account:
    """One subscription of the transaction's merchant, locked. Raises NotFound.

    With `now` it comes with what it used and was charged up to there, to be changed or ended then.
    """
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM subscriptions s "
        "WHERE s.merchant_id = current_setting('app.merchant_id')::uuid AND s.id = $1 "
        "FOR NO KEY UPDATE",
        subscription_id,
    )
    if not rows:
        raise NotFound("There is no such subscription.", code="subscription_not_found")
    return (await load(tx, rows, now))[0]


async def load_many(tx: Tx, keys: Sequence[Key]) -> dict[Key, Subscription]:
    """Subscriptions by (merchant, id), locked in order of their ids."""
    if not keys:
        return {}
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN subscriptions s USING (merchant_id, id) ORDER BY s.id FOR NO KEY UPDATE OF s
        """,
        [k[0] for k in wanted],
        [k[1] for k in wanted],
    )
    return {(s.merchant_id, s.id): s for s in await _subscriptions(tx, rows)}


async def lock_free(tx: Tx, keys: Sequence[Key], now: datetime) -> list[Account]:
    """Subscriptions by (merchant, id), locked, but for those that somebody else has locked; each
    with what it used and was charged up to `now`.
    """
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN subscriptions s USING (merchant_id, id)
         ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
        """,
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return await load(tx, rows, now)


async def load(tx: Tx, rows: Sequence[Row], now: datetime | None = None) -> list[Account]:
    """Everything that decisions about these rows need, in a fixed number of queries.

    `now` is the moment at which they are changed or ended; None: they take the step that is due.
    """
    if not rows:
        return []
    subs = await _subscriptions(tx, rows)
    keys = [(sub.merchant_id, sub.id) for sub in subs]
    methods = await parts.default_methods(tx, subs)
    held = await balances.load(tx, [(s.merchant_id, s.customer_id, s.currency) for s in subs])
    merchants = await policies.load(tx, (s.merchant_id for s in subs))
    waiting = await pending.waiting(tx, keys)
    used = await _usage(tx, subs, now)
    taxed = await taxes.load(
        tx, list({(s.merchant_id, s.customer_id) for s in subs if s.automatic_tax})
    )
    lines = await _charged(tx, subs, now)
    noted = await _corrected(tx, subs, merchants, lines)
    unpaid = [
        (s.merchant_id, s.latest_invoice_id)
        for s in subs
        if s.status is Status.INCOMPLETE and s.latest_invoice_id is not None
    ]
    held_back = await invoices.held(
        tx,
        [
            (s.merchant_id, s.id)
            for s in subs
            if s.pause is not None and s.pause.invoices is not PausedInvoices.NONE
        ],
    )
    bills = await payments.load_first_bills(tx, unpaid) if unpaid else {}
    foreseen = [sub for sub in subs if sub.ahead is not None]
    early = await ahead.bills(tx, foreseen) if foreseen else {}
    names = await ahead.names(tx, foreseen) if foreseen else NO_NAMES
    accounts = [
        Account(
            sub,
            held[sub.merchant_id, sub.customer_id, sub.currency],
            sub.payment_method_id or methods.get((sub.merchant_id, sub.customer_id)),
            bills.get((sub.merchant_id, sub.latest_invoice_id)) if bills else None,
            policies.narrowed(
                merchants[sub.merchant_id], (item.price for item in sub.items), sub.settings
            ),
            _taxed(waiting.get(key, ()), sub, taxed),
            lines.get(key, ()),
            used.get(key, NO_USAGE),
            (),
            taxed[sub.merchant_id, sub.customer_id] if sub.automatic_tax else None,
            held_back.get(key, ()),
            noted.get(key, NOTHING_NOTED),
            early.get(key),
            names.get(key, ()),
        )
        for key, sub in zip(keys, subs, strict=True)
    ]
    return await usage_charges.with_late(tx, accounts)


NO_NAMES: Mapping[Key, Container[datetime]] = {}
NOTHING_NOTED: Mapping[UUID, Corrected] = {}
NO_USAGE: Mapping[UUID, Metered] = {}


def _taxed(
    waiting: Sequence[PendingItem], sub: Subscription, taxations: Mapping[Key, Taxation]
) -> tuple[PendingItem, ...]:
    """What waits for the subscription's next invoice, with the taxes it is billed at."""
    found = taxations[sub.merchant_id, sub.customer_id] if sub.automatic_tax and waiting else None
    return tuple(pending_rules.taxed(item, sub.rates, found) for item in waiting)


async def _subscriptions(tx: Tx, rows: Sequence[Row]) -> list[Subscription]:
    keys = [(row["merchant_id"], row["id"]) for row in rows]
    items = await parts.items(tx, keys)
    own = await discounts.of_subscriptions(tx, keys)
    shared = await discounts.of_customers(
        tx, list({(row["merchant_id"], row["customer_id"]) for row in rows})
    )
    rates = await parts.rates(tx, keys)
    planned = await scheduled.load(tx, keys)
    return [
        parts.subscription(
            row,
            items[key],
            own.get(key, ()) + shared.get((key[0], row["customer_id"]), ()),
            rates.get(key, ()),
            planned.get(key, ()),
        )
        for key, row in zip(keys, rows, strict=True)
    ]


async def _corrected(
    tx: Tx,
    subs: Sequence[Subscription],
    merchants: Mapping[UUID, Policy],
    lines: Mapping[Key, Sequence[Charged]],
) -> dict[Key, Mapping[UUID, Corrected]]:
    """The invoices of the lines in force of those to whom it comes back by credit notes."""
    found: dict[Key, Mapping[UUID, Corrected]] = {}
    for sub in subs:
        key = sub.merchant_id, sub.id
        if key not in lines:
            continue
        prices = (item.price for item in sub.items)
        policy = policies.narrowed(merchants[sub.merchant_id], prices, sub.settings)
        if policy.credit_form is CreditForm.CREDIT_NOTE:
            wanted = ((sub.merchant_id, charged.invoice_id) for charged in lines[key])
            found[key] = await corrected.of_invoices(tx, wanted)
    return found


async def _usage(
    tx: Tx, subs: Sequence[Subscription], now: datetime | None
) -> dict[Key, dict[UUID, Metered]]:
    """What metered items used from the start of their period, or since, to the moment in hand."""
    wanted = []
    for sub in subs:
        if sub.period is None:
            continue
        moment = now or sub.next_action_at or sub.period.end
        until = min(moment, sub.period.end)
        for item in sub.items:
            if item.price.usage is not Usage.METERED:
                continue
            start = max(item.since or sub.period.start, sub.period.start)
            assert item.price.meter_id is not None
            if start < until:
                ids = sub.merchant_id, item.id, sub.customer_id, sub.id, item.price.meter_id
                wanted.append(Wanted(*ids, start, until))
    if not wanted:
        return {}
    found: dict[Key, dict[UUID, Metered]] = {}
    measured = await usage.quantities(tx, wanted)
    for want in wanted:
        amount = measured[want.merchant_id, want.item_id]
        of_sub = found.setdefault((want.merchant_id, want.subscription_id), {})
        of_sub[want.item_id] = Metered(amount.quantity, amount.events)
    return found


async def _charged(
    tx: Tx, subs: Sequence[Subscription], now: datetime | None
) -> dict[Key, tuple[Charged, ...]]:
    """The lines in force of those that change or end inside their period."""
    wanted = []
    for sub in subs:
        if sub.period is None:
            continue
        at = now
        if now is None and sub.scheduled and sub.scheduled[0].due_at < sub.period.end:
            at = sub.scheduled[0].due_at
        if at is not None and at < sub.period.end:
            wanted.append((sub.merchant_id, sub.id, sub.period.start, at))
    return await charged.in_force(tx, wanted)
