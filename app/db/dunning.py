"""The dunning of invoices as decisions need it, with what is tried next: many at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import dunning_policies, invoices, payments
from app.db.base import Row, Tx
from app.domain import dunning as deciding
from app.domain import dunning_following as dunning
from app.domain import dunning_policy as policies
from app.domain.decision import Decision
from app.domain.dunning_following import Known
from app.domain.dunning_policy import FinalAction, Policy, of_document
from app.domain.dunning_run import Dunning, EndReason, Facts, Method, Status, Try, Waiting
from app.domain.errors import NotFound
from app.domain.invoice import Collection as How
from app.domain.outcome import DeclineCategory
from app.domain.payment import Payment
from app.domain.settling import CAPTURED_AS, MANUAL_REVIEW
from app.domain.subscription import Status as SubscriptionStatus
from app.ids import new_id

Key = tuple[UUID, UUID]

LOOK_BACK: Final = timedelta(days=180)
"""How far back attempts may count for a limit: the longest of any."""
COLUMNS: Final = """
    r.merchant_id, r.id, r.invoice_id, r.customer_id, r.policy_id, r.collection_method, r.currency,
    r.amount, r.paid_before, r.terms, r.zone, r.status, r.failed_at, r.step, r.attempts,
    r.next_attempt_at, r.next_action_at, r.waiting_for, r.first_category, r.last_category,
    r.last_code, r.blocked_method_id, r.changed_method_id, r.method_changed_at, r.paused_at,
    r.ended_at, r.end_reason, r.final_action, r.amount_recovered, r.recovered_by_attempt,
    r.test_clock_id, r.created_at, r.version
"""


def run(row: Row) -> Dunning:
    """The run that a row of `dunning_runs` stands for."""
    return Dunning(
        id=row["id"],
        merchant_id=row["merchant_id"],
        invoice_id=row["invoice_id"],
        customer_id=row["customer_id"],
        collection=How(row["collection_method"]),
        currency=row["currency"],
        amount=row["amount"],
        paid_before=row["paid_before"],
        policy=_terms(row["terms"]),
        zone=row["zone"],
        status=Status(row["status"]),
        failed_at=row["failed_at"],
        created_at=row["created_at"],
        step=row["step"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        next_action_at=row["next_action_at"],
        waiting_for=_or_none(Waiting, row["waiting_for"]),
        first_category=_or_none(DeclineCategory, row["first_category"]),
        last_category=_or_none(DeclineCategory, row["last_category"]),
        last_code=row["last_code"],
        blocked_method_id=row["blocked_method_id"],
        changed_method_id=row["changed_method_id"],
        method_changed_at=row["method_changed_at"],
        paused_at=row["paused_at"],
        ended_at=row["ended_at"],
        end_reason=_or_none(EndReason, row["end_reason"]),
        final_action=_or_none(FinalAction, row["final_action"]),
        amount_recovered=row["amount_recovered"],
        recovered_by_attempt=row["recovered_by_attempt"],
        test_clock_id=row["test_clock_id"],
        version=row["version"],
    )


def _or_none(kind: Any, value: str | None) -> Any:
    return None if value is None else kind(value)


def _terms(text: str) -> Policy:
    return of_document(orjson.loads(text))


async def followed(tx: Tx, decisions: Sequence[Decision], now: datetime) -> Sequence[Decision]:
    """The decisions with what they mean for dunning. Their invoices and subscriptions are written
    already; their payments are not.
    """
    ended = [(d.merchant_id, sub) for d in decisions for sub in d.abandoned]
    over, waiting = dunning.concerns(decisions)
    if not over and not waiting and not ended:
        return decisions
    live = await live_of(tx, ended) if ended else []
    # What was paid as it was first tried, as most is, costs this one look-up.
    runs = await _runs(tx, over | waiting | {(run.merchant_id, run.invoice_id) for run in live})
    wanted = waiting | runs.keys()
    known = await _whole(tx, sorted(wanted), runs, now) if wanted else {}
    return dunning.follow(decisions, known, now, new_id)


async def live_of(tx: Tx, subscriptions: Sequence[Key]) -> list[Dunning]:
    """The live runs of invoices of these subscriptions."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN {invoices.BILLS} b
            ON b.merchant_id = k.merchant_id AND b.subscription_id = k.subscription_id
          JOIN dunning_runs r ON r.merchant_id = b.merchant_id AND r.invoice_id = b.invoice_id
         WHERE r.status IN ('active', 'paused')
        """,
        [key[0] for key in subscriptions],
        [key[1] for key in subscriptions],
    )
    return [run(row) for row in rows]


async def load(tx: Tx, keys: Collection[Key], now: datetime) -> dict[Key, Known]:
    """What is known of the dunning of invoices, by (merchant, invoice), runs and payments locked:
    in a fixed number of queries.
    """
    if not keys:
        return {}
    return await _whole(tx, sorted(keys), await _runs(tx, keys), now)


async def _runs(tx: Tx, keys: Collection[Key]) -> dict[Key, Dunning]:
    """The runs of these invoices, locked."""
    wanted = sorted(keys)
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN dunning_runs r USING (merchant_id, invoice_id)
         ORDER BY r.id FOR NO KEY UPDATE OF r
        """,
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return {(row["merchant_id"], row["invoice_id"]): run(row) for row in rows}


async def _whole(
    tx: Tx, keys: Sequence[Key], found: Mapping[Key, Dunning], now: datetime
) -> dict[Key, Known]:
    """The invoices with their runs, whom they are for, by whose policy, and what can be charged."""
    rows = await _contexts(tx, keys)
    rows = [row for row in rows if row["status"] == "open" or _key(row) in found]
    if not rows:
        return {}
    chosen = {(row["merchant_id"], row["chosen_id"]) for row in rows if row["chosen_id"]}
    written = await dunning_policies.load(tx, chosen) if chosen else {}
    subs = await _statuses(tx, rows)
    payment_of = await _live_payments(tx, keys)
    facts = await _facts(tx, rows, payment_of, now)
    return {
        _key(row): Known(
            invoice=invoices.invoice(row),
            run=found.get(_key(row)),
            payment=payment_of.get(_key(row)),
            policy=written.get((row["merchant_id"], row["chosen_id"]), policies.DEFAULT),
            zone=row["zone"],
            facts=facts.get(_key(row), Facts()),
            subscriptions=subs.get(_key(row), {}),
        )
        for row in rows
    }


async def _live_payments(tx: Tx, keys: Sequence[Key]) -> dict[Key, Payment]:
    """The payments of these invoices that have not come to their end, locked."""
    rows = await tx.fetch(
        f"""
        SELECT {payments.COLUMNS} FROM unnest($1::uuid[], $2::uuid[])
            AS k (merchant_id, invoice_id)
          JOIN payments p USING (merchant_id, invoice_id)
         WHERE {payments.LIVE} ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    found = [payments.payment(row) for row in rows]
    return {(payment.merchant_id, payment.invoice_id): payment for payment in found}


def _key(row: Row) -> Key:
    return row["merchant_id"], row["id"]


CHOSEN: Final = f"""
          JOIN customers c ON c.merchant_id = i.merchant_id AND c.id = i.customer_id
          LEFT JOIN dunning_policies of_all
            ON of_all.merchant_id = i.merchant_id AND of_all.is_default
          LEFT JOIN dunning_policies of_segment
            ON of_segment.merchant_id = i.merchant_id AND of_segment.active
           AND of_segment.segment = c.metadata ->> 'segment'
          LEFT JOIN LATERAL (
              SELECT d.policy_id FROM {invoices.BILLS} b
                JOIN subscription_items t ON t.merchant_id = b.merchant_id
                 AND t.subscription_id = b.subscription_id AND t.removed_at IS NULL
                JOIN prices pr ON pr.merchant_id = t.merchant_id AND pr.id = t.price_id
                JOIN dunning_policy_plans d
                  ON d.merchant_id = pr.merchant_id AND d.plan_id = pr.plan_id
               WHERE b.merchant_id = i.merchant_id AND b.invoice_id = i.id
               ORDER BY b.subscription_id, t.position LIMIT 1) of_plan ON true
"""
"""Whose policy is that of invoice `i`: the plan's, the segment's, or the default. Of several plans
on an invoice the first item's of its oldest subscription counts."""
CHOSEN_ID: Final = "coalesce(of_plan.policy_id, of_segment.id, of_all.id)"


async def _contexts(tx: Tx, keys: Sequence[Key]) -> list[Row]:
    """The invoices, with whose policy is theirs."""
    return await tx.fetch(
        f"""
        SELECT {invoices.COLUMNS}, c.zone, {CHOSEN_ID} AS chosen_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id) {CHOSEN}
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )


async def _statuses(tx: Tx, rows: Sequence[Row]) -> dict[Key, dict[UUID, SubscriptionStatus]]:
    """The subscriptions that each invoice is for."""
    subs = await tx.fetch(
        f"""
        SELECT s.merchant_id, b.invoice_id, s.id, s.status
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN {invoices.BILLS} b
            ON b.merchant_id = k.merchant_id AND b.invoice_id = k.invoice_id
          JOIN subscriptions s ON s.merchant_id = b.merchant_id AND s.id = b.subscription_id
        """,
        [row["merchant_id"] for row in rows],
        [row["id"] for row in rows],
    )
    found: dict[Key, dict[UUID, SubscriptionStatus]] = defaultdict(dict)
    for sub in subs:
        key = sub["merchant_id"], sub["invoice_id"]
        found[key][sub["id"]] = SubscriptionStatus(sub["status"])
    return found


async def _facts(
    tx: Tx, rows: Sequence[Row], payment_of: Mapping[Key, Payment], now: datetime
) -> dict[Key, Facts]:
    """What can be charged for each open invoice, and what was tried."""
    keys = [_key(row) for row in rows if row["status"] == "open"]
    if not keys:
        return {}
    usual = await _usual(tx, keys)
    since = now - LOOK_BACK
    tries, contested = await tried(tx, keys, since)
    amounts = {
        _key(row): (row["amount_due"] - row["amount_paid"] - row["amount_credited"]) for row in rows
    }
    amounts |= {key: payment.amount for key, payment in payment_of.items()}
    presented = await _presented(
        tx, [(usual[key], amounts[key]) for key in keys if key in usual], since
    )
    others = await _others(tx, keys, usual, amounts, since)
    return {
        key: Facts(
            usual=_method(usual[key], presented.get(key, ())) if key in usual else None,
            others=others.get(key, ()),
            tries=tuple(tries.get(key, ())),
            is_contested=key in contested,
        )
        for key in keys
    }


async def tried(
    tx: Tx, keys: Sequence[Key], since: datetime
) -> tuple[dict[Key, list[Try]], set[Key]]:
    """The attempts at these invoices since then, oldest first; and the invoices for which money
    came that waits for somebody to look.
    """
    tries: dict[Key, list[Try]] = defaultdict(list)
    contested: set[Key] = set()
    for row in await tx.fetch(
        """
        SELECT p.merchant_id, p.invoice_id, a.payment_method_id, a.created_at,
               starts_with(a.detail, $4) AS is_contested
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN payments p USING (merchant_id, invoice_id)
          JOIN payment_attempts a ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
         WHERE a.created_at > $3 ORDER BY a.created_at
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        since,
        MANUAL_REVIEW + CAPTURED_AS,
    ):
        key = row["merchant_id"], row["invoice_id"]
        tries[key].append(Try(row["payment_method_id"], row["created_at"]))
        if row["is_contested"]:
            contested.add(key)
    return tries, contested


BACKUP: Final = """
              m.backup_order IS NOT NULL AND m.detached_at IS NULL AND m.is_usable
              AND g.disabled_at IS NULL
"""
"""Whether method `m` at account `g` is a back-up that can be charged."""


async def _others(
    tx: Tx,
    keys: Sequence[Key],
    usual: Mapping[Key, Row],
    amounts: Mapping[Key, int],
    since: datetime,
) -> dict[Key, tuple[Method, ...]]:
    """The back-up methods of the customers of these invoices that can be charged, in their order,
    without the one that is charged anyway.
    """
    rows = await tx.fetch(
        f"""
        SELECT i.merchant_id, i.id AS invoice_id, i.customer_id, i.currency, m.id, m.type, m.brand,
               m.fingerprint, m.refused_at
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id)
          JOIN payment_methods m
            ON m.merchant_id = i.merchant_id AND m.customer_id = i.customer_id
          JOIN gateway_accounts g
            ON g.merchant_id = m.merchant_id AND g.id = m.gateway_account_id
         WHERE {BACKUP} ORDER BY m.backup_order, m.id
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    ranked: list[dict[Key, Row]] = []
    found: dict[Key, list[Method]] = defaultdict(list)
    count: dict[Key, int] = defaultdict(int)
    for row in rows:
        key = row["merchant_id"], row["invoice_id"]
        place = count[key]
        if (key in usual and usual[key]["id"] == row["id"]) or place >= deciding.BACKUPS_MAX:
            continue
        if place == len(ranked):
            ranked.append({})
        ranked[place][key] = row
        count[key] += 1
    for rank in ranked:  # a method at a time for all invoices, as the usual ones are looked up
        seen = await _presented(tx, [(row, amounts[key]) for key, row in rank.items()], since)
        for key, row in rank.items():
            found[key].append(_method(row, seen.get(key, ())))
    return {key: tuple(methods) for key, methods in found.items()}


def _method(row: Row, presented: Sequence[datetime]) -> Method:
    limits = policies.scheme_limits(row["type"], row["brand"], row["currency"])
    return Method(row["id"], limits, row["refused_at"] is not None, tuple(presented))


async def _usual(tx: Tx, keys: Sequence[Key]) -> dict[Key, Row]:
    """The method that each invoice would be charged to today, among those that can be: its
    subscription's own, the customer's, or else the one it was to be paid with.
    """
    rows = await tx.fetch(
        f"""
        SELECT DISTINCT ON (i.id) i.merchant_id, i.id AS invoice_id, i.customer_id, i.currency,
               m.id, m.type, m.brand, m.fingerprint, m.refused_at
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN invoices i USING (merchant_id, id)
          JOIN customers c ON c.merchant_id = i.merchant_id AND c.id = i.customer_id
          LEFT JOIN LATERAL (
              SELECT s.payment_method_id FROM {invoices.BILLS} b
                JOIN subscriptions s ON s.merchant_id = b.merchant_id AND s.id = b.subscription_id
               WHERE b.merchant_id = i.merchant_id AND b.invoice_id = i.id
                 AND s.payment_method_id IS NOT NULL
               ORDER BY s.id LIMIT 1) own ON true
          LEFT JOIN payments p ON p.merchant_id = i.merchant_id AND p.invoice_id = i.id
           AND {payments.LIVE}
          JOIN payment_methods m ON m.merchant_id = i.merchant_id AND m.id IN (
               own.payment_method_id, c.default_payment_method_id, p.payment_method_id)
          JOIN gateway_accounts g
            ON g.merchant_id = m.merchant_id AND g.id = m.gateway_account_id
         WHERE m.detached_at IS NULL AND m.is_usable AND g.disabled_at IS NULL
         ORDER BY i.id, m.id IS NOT DISTINCT FROM own.payment_method_id DESC,
                  m.id IS NOT DISTINCT FROM c.default_payment_method_id DESC
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(row["merchant_id"], row["invoice_id"]): row for row in rows}


async def _presented(
    tx: Tx, wanted: Sequence[tuple[Row, int]], since: datetime
) -> dict[Key, list[datetime]]:
    """When the same amount was asked of each of these methods, or of the same card under another
    name. What the merchant's own account did not allow reached no scheme.
    """
    rows = await tx.fetch(
        """
        SELECT k.merchant_id, k.invoice_id, a.created_at
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[],
                      $7::text[])
            AS k (merchant_id, invoice_id, customer_id, method_id, fingerprint, amount, currency)
          JOIN payments p ON p.merchant_id = k.merchant_id AND p.customer_id = k.customer_id
          JOIN payment_attempts a ON a.merchant_id = p.merchant_id AND a.payment_id = p.id
           AND a.amount = k.amount AND a.currency = k.currency
          JOIN payment_methods m ON m.merchant_id = a.merchant_id AND m.id = a.payment_method_id
         WHERE a.created_at > $8 AND a.failure_category IS DISTINCT FROM 'configuration'
           AND a.status <> 'succeeded' AND a.status <> 'canceled'
           AND (m.id = k.method_id OR m.fingerprint = k.fingerprint)
         ORDER BY a.created_at
        """,
        [row["merchant_id"] for row, _ in wanted],
        [row["invoice_id"] for row, _ in wanted],
        [row["customer_id"] for row, _ in wanted],
        [row["id"] for row, _ in wanted],
        [row["fingerprint"] for row, _ in wanted],
        [amount for _, amount in wanted],
        [row["currency"] for row, _ in wanted],
        since,
    )
    found: dict[Key, list[datetime]] = defaultdict(list)
    for row in rows:
        found[row["merchant_id"], row["invoice_id"]].append(row["created_at"])
    return found


async def get(tx: Tx, run_id: UUID) -> Dunning:
    """One run of the transaction's merchant, not locked. Raises NotFound."""
    row = await tx.fetchrow(
        f"SELECT {COLUMNS} FROM dunning_runs r"
        " WHERE r.merchant_id = current_setting('app.merchant_id')::uuid AND r.id = $1",
        run_id,
    )
    if row is None:
        raise NotFound("There is no such dunning run.")
    return run(row)


async def subscriptions_of(tx: Tx, keys: Sequence[Key]) -> dict[Key, list[Key]]:
    """The subscriptions that each of these invoices is for, in order, by (merchant, id)."""
    rows = await tx.fetch(
        f"""
        SELECT b.merchant_id, b.invoice_id, b.subscription_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN {invoices.BILLS} b USING (merchant_id, invoice_id)
         ORDER BY b.subscription_id
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    found: dict[Key, list[Key]] = defaultdict(list)
    for row in rows:
        merchant = row["merchant_id"]
        found[merchant, row["invoice_id"]].append((merchant, row["subscription_id"]))
    return found


async def planned(tx: Tx, questioned: Iterable[Payment], now: datetime) -> dict[UUID, Known]:
    """What is known of due payments, locked by the caller: those whose attempt dunning planned, and
    those that nobody is dunned for yet. What somebody asked for in between is not among them.
    """
    known = await load(tx, {(p.merchant_id, p.invoice_id) for p in questioned}, now)
    return {
        of.payment.id: of
        for of in known.values()
        if of.payment is not None and dunning.is_planned(of)
    }
