"""Customers: who is billed, where they are, and how they pay by default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import balances, decisions, dunning_due, events, payment_methods, tax_ids, views
from app.db import customers as rows
from app.db.base import Row, Tx
from app.db.views.base import Fields
from app.domain import balance
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest, Stale
from app.domain.event import Type
from app.domain.taxation import TaxExempt
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.metadata import merged
from app.services.subscriptions import now_of_customer

ADDRESS: Final = ("line1", "line2", "city", "state", "postal_code", "country")


@dataclass(frozen=True, slots=True)
class CreateCustomer:
    """Who is to be billed."""

    external_id: str | None = None
    email: str | None = None
    name: str | None = None
    address: Mapping[str, str | None] = field(default_factory=dict)
    time_zone: str = "UTC"
    test_clock_id: UUID | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_exemption_note: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class AdjustBalance:
    """Grant credit (above zero) or take it back (below), in minor units."""

    customer_id: UUID
    currency: str
    amount: int
    description: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateCustomer:
    """Fields to change, each to its new value; `metadata` is merged, None takes a key out."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


def check_version(row: Fields, expected: int | None) -> None:
    """Refuse to build on an older version than the present one. Raises Stale."""
    if expected is not None and row["version"] != expected:
        raise Stale(f"It has changed meanwhile: the present version is {row['version']}.")


async def create(rt: Runtime, caller: Caller, cmd: CreateCustomer) -> Row:
    """Create a customer. Raises Conflict where the external_id is taken."""
    now = rt.clock.now()
    new = rows.NewCustomer(
        id=new_id(),
        external_id=cmd.external_id,
        email=cmd.email,
        name=cmd.name,
        address=cmd.address,
        zone=cmd.time_zone,
        test_clock_id=cmd.test_clock_id,
        metadata=cmd.metadata,
        tax_exempt=cmd.tax_exempt,
        tax_exemption_note=cmd.tax_exemption_note,
        language=cmd.language,
    )
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert(tx, caller.merchant_id, new, now)
        row = await load(tx, caller.merchant_id, new.id)
        await events.append(tx, caller.merchant_id, Type.CUSTOMER_CREATED, views.CUSTOMER, row, now)
        await idempotency.answered(tx, caller, show("cus", new.id))
    return row


async def update(rt: Runtime, caller: Caller, cmd: UpdateCustomer) -> Row:
    """Change some of a customer's fields. Raises NotFound, Stale, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await _lock(tx, caller, cmd.id)
        check_version(before, cmd.expected_version)
        default = cmd.changes.get("default_payment_method_id")
        if default is not None:
            await _check_default(tx, caller, cmd.id, default)
        fields = _fields(before)
        metadata = cmd.changes.get("metadata", {})
        fields |= cmd.changes
        fields["metadata"] = merged(_fields(before)["metadata"], metadata or {})
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        if default is not None:
            await dunning_due.method_changed(tx, caller.merchant_id, cmd.id, default, now)
        updated = await _tell(tx, caller, before, now)
    rt.bell.ring_soon("dun")
    return updated


async def delete(rt: Runtime, caller: Caller, id: UUID, expected_version: int | None = None) -> Row:
    """Forget who a customer was; the books keep the nameless rest. Raises NotFound, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await _lock(tx, caller, id, to_delete=True)
        check_version(before, expected_version)
        if await rows.has_live_subscription(tx, caller.merchant_id, id):
            raise Conflict(
                "The customer has subscriptions that still run; cancel them first.",
                code="customer_has_subscriptions",
            )
        fields = _fields(before) | {
            "external_id": None,
            "email": None,
            "name": None,
            "address": dict.fromkeys(ADDRESS),
            "default_payment_method_id": None,
            "metadata": {},
            "tax_exemption_note": None,
            "deleted_at": now,
        }
        await tax_ids.delete_all(tx, caller.merchant_id, id)
        await rows.update(tx, caller.merchant_id, id, fields)
        # What the fields were is exactly what is to be forgotten: the event does not repeat it.
        after = await load(tx, caller.merchant_id, id)
        await events.append(
            tx, caller.merchant_id, Type.CUSTOMER_UPDATED, views.CUSTOMER, after, now
        )
        await idempotency.answered(tx, caller, show("cus", id))
        return after


async def adjust_balance(rt: Runtime, caller: Caller, cmd: AdjustBalance) -> Row:
    """Move a customer's credit, with its posting. Raises NotFound, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.lock(tx, caller.merchant_id, cmd.customer_id):
            raise lookup.missing(views.CUSTOMER)
        now = await now_of_customer(rt, tx, cmd.customer_id)
        key = (caller.merchant_id, cmd.customer_id, cmd.currency)
        held = await balances.load(tx, [key])
        entry, posting = balance.adjust(held[key], cmd.amount, cmd.description, new_id)
        decision = Decision(caller.merchant_id, balances=(entry,), entries=(posting,))
        await decisions.record(tx, [decision], now)
        await rows.touch(tx, caller.merchant_id, cmd.customer_id)
        await idempotency.answered(tx, caller, show("bt", entry.id))
        row = await views.one(tx, views.BALANCE_TRANSACTION, caller.merchant_id, entry.id)
        assert row is not None
    return row


async def load(tx: Tx, merchant_id: UUID, id: UUID) -> Row:
    """A customer that is there."""
    row = await views.one(tx, views.CUSTOMER, merchant_id, id)
    assert row is not None
    return row


async def _lock(tx: Tx, caller: Caller, id: UUID, *, to_delete: bool = False) -> Row:
    if not await rows.lock(tx, caller.merchant_id, id, to_delete=to_delete):
        raise lookup.missing(views.CUSTOMER)
    return await load(tx, caller.merchant_id, id)


async def _tell(tx: Tx, caller: Caller, before: Row, now: datetime) -> Row:
    after = await load(tx, caller.merchant_id, before["id"])
    await events.append(
        tx,
        caller.merchant_id,
        Type.CUSTOMER_UPDATED,
        views.CUSTOMER,
        after,
        now,
        events.changed(before, after),
    )
    await idempotency.answered(tx, caller, show("cus", before["id"]))
    return after


async def _check_default(tx: Tx, caller: Caller, id: UUID, method_id: UUID) -> None:
    method = await payment_methods.lock(tx, caller.merchant_id, method_id)
    if method is None or method["customer_id"] != id:
        raise InvalidRequest(
            "The customer has no such payment method.",
            code="reference_not_found",
            param="default_payment_method_id",
        )


def _fields(row: Row) -> dict[str, Any]:
    fields: dict[str, Any] = dict(row)
    fields["address"] = orjson.loads(row["address"])
    fields["metadata"] = orjson.loads(row["metadata"])
    return fields
