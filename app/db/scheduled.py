"""Scheduled changes: written as documents, read back with the prices and coupons they name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import bulk, coupons, prices, tables
from app.db.base import Row, Tx, dumps
from app.domain.decision import ScheduledState
from app.domain.discount import Coupon, Discount, redeem
from app.domain.invoice import Collection
from app.domain.policy import Settlement
from app.domain.pricing import Price
from app.domain.subscription import (
    Change,
    ItemChange,
    Pause,
    PausedInvoices,
    Scheduled,
    ScheduledStatus,
)

Key = tuple[UUID, UUID]
COLUMNS: Final = (
    "merchant_id",
    "id",
    "subscription_id",
    "type",
    "due_at",
    "change",
    "phase",
    "status",
    "created_at",
)


async def write(tx: Tx, states: Sequence[ScheduledState]) -> None:
    """Insert what is pending anew; note what became of the others."""
    fresh = [s for s in states if s.status is ScheduledStatus.PENDING]
    rows = [
        (
            s.merchant_id,
            s.scheduled.id,
            s.subscription_id,
            "change" if s.scheduled.pause is None else "pause",
            s.scheduled.due_at,
            dumps(_document(s.scheduled)),
            s.scheduled.phase,
            s.status,
            s.at,
        )
        for s in fresh
    ]
    await bulk.insert(tx, tables.scheduled_changes, COLUMNS, rows)
    past = [s for s in states if s.status is not ScheduledStatus.PENDING]
    if not past:
        return
    await tx.run(
        """
        UPDATE scheduled_changes AS c
           SET status = v.status, applied_at = CASE WHEN v.status = 'applied' THEN v.at END
          FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
               AS v (merchant_id, id, status, at)
         WHERE c.merchant_id = v.merchant_id AND c.id = v.id AND c.status = 'pending'
        """,
        [s.merchant_id for s in past],
        [s.scheduled.id for s in past],
        [s.status for s in past],
        [s.at for s in past],
    )


def _document(scheduled: Scheduled) -> dict[str, Any]:
    if scheduled.pause is not None:
        pause = scheduled.pause
        return {"invoices": pause.invoices, "resumes_at": _text(pause.resumes_at)}
    change = scheduled.change
    assert change is not None
    return {
        "items": [
            {
                "id": _text(item.item_id),
                "price_id": None if item.price is None else str(item.price.id),
                "quantity": item.quantity,
                "is_removed": item.is_removed,
            }
            for item in change.items
        ],
        "is_whole": change.is_whole,
        "settlement": change.settlement,
        "discounts": None
        if change.discounts is None
        else [{"id": str(d.id), "coupon_id": str(d.coupon.id)} for d in change.discounts],
        "collection": change.collection,
        "net_days": change.net_days,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


async def load(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[Scheduled, ...]]:
    """The pending changes of each (merchant, subscription), the next one first."""
    rows = await tx.fetch(
        """
        SELECT c.merchant_id, c.id, c.subscription_id, c.type, c.due_at, c.change, c.phase,
               c.created_at
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN scheduled_changes c USING (merchant_id, subscription_id)
         WHERE c.status = 'pending' ORDER BY c.due_at, c.id
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    if not rows:
        return {}
    documents = [orjson.loads(row["change"]) for row in rows]
    priced = await prices.load(tx, _prices(rows, documents))
    known = await _coupons(tx, rows, documents)
    found: dict[Key, list[Scheduled]] = defaultdict(list)
    for row, document in zip(rows, documents, strict=True):
        merchant = row["merchant_id"]
        change = pause = None
        if row["type"] == "pause":
            pause = _pause(row, document)
        else:
            change = _change(merchant, document, priced, known)
        planned = Scheduled(
            row["id"], row["due_at"], change, pause, row["phase"], row["created_at"]
        )
        found[merchant, row["subscription_id"]].append(planned)
    return {key: tuple(planned) for key, planned in found.items()}


def _prices(rows: Sequence[Row], documents: Sequence[dict[str, Any]]) -> set[Key]:
    return {
        (row["merchant_id"], UUID(item["price_id"]))
        for row, document in zip(rows, documents, strict=True)
        for item in document.get("items", ())
        if item["price_id"] is not None
    }


async def _coupons(
    tx: Tx, rows: Sequence[Row], documents: Sequence[dict[str, Any]]
) -> dict[Key, Coupon]:
    wanted = sorted(
        {
            (row["merchant_id"], UUID(given["coupon_id"]))
            for row, document in zip(rows, documents, strict=True)
            for given in document.get("discounts") or ()
        }
    )
    if not wanted:
        return {}
    found = await tx.fetch(
        f"""
        SELECT c.merchant_id, {coupons.COLUMNS}
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN coupons c USING (merchant_id, id)
        """,
        [k[0] for k in wanted],
        [k[1] for k in wanted],
    )
    return {(row["merchant_id"], row["coupon_id"]): coupons.coupon(row) for row in found}


def _pause(row: Row, document: Mapping[str, Any]) -> Pause:
    resumes_at = document["resumes_at"]
    return Pause(
        row["due_at"],
        PausedInvoices(document["invoices"]),
        None if resumes_at is None else datetime.fromisoformat(resumes_at),
    )


def _change(
    merchant: UUID,
    document: Mapping[str, Any],
    priced: Mapping[Key, Price],
    known: Mapping[Key, Coupon],
) -> Change:
    given = document["discounts"]
    settlement, collection = document["settlement"], document["collection"]
    return Change(
        items=tuple(
            ItemChange(
                item_id=None if item["id"] is None else UUID(item["id"]),
                price=None
                if item["price_id"] is None
                else priced[merchant, UUID(item["price_id"])],
                quantity=item["quantity"],
                is_removed=item["is_removed"],
            )
            for item in document["items"]
        ),
        is_whole=document["is_whole"],
        settlement=None if settlement is None else Settlement(settlement),
        discounts=None if given is None else _discounts(merchant, given, known),
        collection=None if collection is None else Collection(collection),
        net_days=document["net_days"],
    )


def _discounts(
    merchant: UUID, given: Sequence[Mapping[str, str]], known: Mapping[Key, Coupon]
) -> tuple[Discount, ...]:
    return tuple(redeem(known[merchant, UUID(d["coupon_id"])], UUID(d["id"])) for d in given)
