"""Payment methods: a gateway's token tied to a customer. Card numbers never come here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import customers, dunning_due, events, views
from app.db import payment_methods as rows
from app.db.base import Row, Tx
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged


@dataclass(frozen=True, slots=True)
class AttachPaymentMethod:
    """What the gateway gave for the customer's card or account, and what may be shown of it."""

    customer_id: UUID
    gateway_reference: str
    gateway_account_id: UUID | None = None
    gateway_customer_reference: str | None = None
    type: str = "card"
    brand: str | None = None
    last_four: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    make_default: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdatePaymentMethod:
    """Fields to change: `expiry_month`, `expiry_year`, `backup_order`, `metadata` (merged)."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


TRIED_AGAIN: Final = ("expiry_month", "expiry_year", "backup_order")
"""What makes it worth another try, where an invoice waits for a method."""


async def attach(rt: Runtime, caller: Caller, cmd: AttachPaymentMethod) -> Row:
    """Attach a payment method. Raises InvalidRequest, Conflict."""
    now = rt.clock.now()
    method_id = new_id()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await customers.lock(tx, caller.merchant_id, cmd.customer_id):
            raise InvalidRequest(
                "There is no such customer.", code="reference_not_found", param="customer_id"
            )
        method = rows.NewPaymentMethod(
            id=method_id,
            customer_id=cmd.customer_id,
            gateway_account_id=await _account(tx, caller, cmd.gateway_account_id),
            gateway_reference=cmd.gateway_reference,
            gateway_customer_reference=cmd.gateway_customer_reference,
            type=cmd.type,
            brand=cmd.brand,
            last_four=cmd.last_four,
            expiry_month=cmd.expiry_month,
            expiry_year=cmd.expiry_year,
            metadata=cmd.metadata,
        )
        await rows.insert(tx, caller.merchant_id, method, now)
        if cmd.make_default:
            await customers.set_default_payment_method(
                tx, caller.merchant_id, cmd.customer_id, method_id
            )
            await dunning_due.method_changed(
                tx, caller.merchant_id, cmd.customer_id, method_id, now
            )
        attached = await _tell(tx, caller, method_id, Type.PAYMENT_METHOD_ATTACHED, now=now)
    rt.bell.ring_soon("dun")
    return attached


async def update(rt: Runtime, caller: Caller, cmd: UpdatePaymentMethod) -> Row:
    """Change when it expires, its place among the back-ups, or its metadata.

    Raises NotFound, Stale.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await _lock(tx, caller, cmd.id)
        check_version(before, cmd.expected_version)
        metadata = orjson.loads(before["metadata"])
        fields = {name: cmd.changes.get(name, before[name]) for name in TRIED_AGAIN}
        fields["metadata"] = merged(metadata, cmd.changes.get("metadata") or {})
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        await idempotency.answered(tx, caller, show("pm", cmd.id))
        updated = await _load(tx, caller, cmd.id)
        if any(before[name] != updated[name] for name in TRIED_AGAIN):
            now, customer = rt.clock.now(), before["customer_id"]
            await dunning_due.method_changed(tx, caller.merchant_id, customer, cmd.id, now)
    rt.bell.ring_soon("dun")
    return updated


async def detach(rt: Runtime, caller: Caller, id: UUID) -> Row:
    """End a payment method; no charge uses it again, and its gateway is told to let go of it.

    Raises NotFound, Conflict.
    """
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await _lock(tx, caller, id)
        if await customers.live_by_payment_method(tx, caller.merchant_id, id) is not None:
            raise Conflict(
                "A subscription that still runs is paid with it; give that another one first.",
                code="payment_method_in_use",
            )
        await rows.detach(tx, caller.merchant_id, id, now)
        told = Type.PAYMENT_METHOD_DETACHED
        detached = await _tell(tx, caller, id, told, now=now, before=before)
    rt.bell.ring_soon("settle_setups")
    return detached


async def _account(tx: Tx, caller: Caller, named: UUID | None) -> UUID:
    if named is None:
        default = await rows.default_gateway_account(tx, caller.merchant_id)
        if default is None:
            raise InvalidRequest(
                "There is no default gateway account; name one.", param="gateway_account_id"
            )
        return default
    if not await rows.is_open_account(tx, caller.merchant_id, named):
        raise InvalidRequest(
            "There is no such gateway account, or it is closed.",
            code="reference_not_found",
            param="gateway_account_id",
        )
    return named


async def _lock(tx: Tx, caller: Caller, id: UUID) -> Row:
    if await rows.lock(tx, caller.merchant_id, id) is None:
        raise lookup.missing(views.PAYMENT_METHOD)
    return await _load(tx, caller, id)


async def _load(tx: Tx, caller: Caller, id: UUID) -> Row:
    row = await views.one(tx, views.PAYMENT_METHOD, caller.merchant_id, id)
    assert row is not None
    return row


async def _tell(
    tx: Tx, caller: Caller, id: UUID, type: Type, *, now: Any, before: Row | None = None
) -> Row:
    after = await _load(tx, caller, id)
    previous = None if before is None else events.changed(before, after)
    await events.append(tx, caller.merchant_id, type, views.PAYMENT_METHOD, after, now, previous)
    await idempotency.answered(tx, caller, show("pm", id))
    return after
