"""Invoices by hand: made of items, changed and thrown away as drafts, made final."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.db import (
    billing,
    decisions,
    drafts,
    one_offs,
    pending,
    policies,
    redemptions,
    series,
    views,
)
from app.db.base import Tx
from app.db.one_offs import Described
from app.domain import drafting, finalizing
from app.domain.decision import Decision
from app.domain.discount import redeem
from app.domain.drafting import Manual
from app.domain.errors import Conflict, InvalidRequest, Stale
from app.domain.event import Event, Type
from app.domain.invoice import BillingReason, Collection, Invoice, Order, Status
from app.domain.pending import PendingItem
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, idempotency
from app.services.caller import Caller
from app.services.metadata import merged
from app.services.moments import now_of_customer, time_of
from app.services.pending_items import NewItem, build, lock_draft, redrafted, taxes_for
from app.services.public import shown
from app.services.subscriptions import collect

ITEMS_MAX: Final = 100
DISCOUNTS_MAX: Final = 10
TAX_RATES_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInvoice:
    """Whom to bill for what, how it is collected, and whether it is final at once."""

    customer_id: UUID
    currency: str | None = None
    items: Sequence[NewItem] = ()
    take_pending: bool = True
    """Bill what waits for the customer's next invoice too."""
    collection: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: int = 0
    payment_method_id: UUID | None = None
    description: str | None = None
    coupon_ids: Sequence[UUID] = ()
    tax_rate_ids: Sequence[UUID] = ()
    automatic_tax: bool = False
    auto_finalize: bool = True
    series: str = "default"
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateInvoice:
    """Fields to change: of a draft description, net_days and items; metadata always.

    `add_items` are put on the draft; `remove_items` are taken off it.
    """

    id: UUID
    changes: Mapping[str, object]
    add_items: Sequence[NewItem] = ()
    remove_items: Sequence[UUID] = ()
    metadata: Mapping[str, str | None] | None = None
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateInvoice) -> UUID:
    """Bill a customer for items given here and for what waits. Raises NotFound, InvalidRequest."""
    _check(cmd)
    merchant = caller.merchant_id
    async with rt.db.begin(merchant) as tx:
        customer = await billing.customer(tx, cmd.customer_id)
        now = time_of(rt, customer["frozen_at"], customer["clock_status"])
        if cmd.payment_method_id is not None:
            await billing.payment_method_of(tx, cmd.customer_id, cmd.payment_method_id)
        items = await _items(tx, caller, cmd, now)
        manual, given = await _manual(tx, caller, cmd, items, customer["test_clock_id"], now)
        balance, method_id = await drafts.payer(tx, manual.order)
        method_id = cmd.payment_method_id or method_id
        decision = drafting.create(manual, balance, method_id, now, new_id)
        await decisions.record(tx, [decision], now)
        invoice = decision.invoices[0]
        what = Described(cmd.automatic_tax, tuple(cmd.tax_rate_ids), cmd.metadata)
        await one_offs.describe(tx, invoice.id, what)
        await one_offs.insert_discounts(tx, invoice, manual.discounts, now)
        await redemptions.redeem_all(tx, given, cmd.customer_id, now)
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    await collect(rt, decision, now)
    return invoice.id


def _check(cmd: CreateInvoice) -> None:
    if len(cmd.coupon_ids) > DISCOUNTS_MAX or len(cmd.tax_rate_ids) > TAX_RATES_MAX:
        raise InvalidRequest(
            f"At most {DISCOUNTS_MAX} coupons and {TAX_RATES_MAX} tax rates.", param="coupon_ids"
        )
    if cmd.tax_rate_ids and cmd.automatic_tax:
        raise InvalidRequest("Give tax rates, or have them found.", param="automatic_tax")


async def _items(
    tx: Tx, caller: Caller, cmd: CreateInvoice, now: datetime
) -> tuple[PendingItem, ...]:
    """What is billed: what waited, the oldest first, then what was given."""
    given = await build(tx, caller, cmd.items, cmd.customer_id, cmd.currency, now, "items")
    inline = [replace(item, is_inline=True) for item in given]
    currency = cmd.currency or (inline[0].currency if inline else None)
    waited: list[PendingItem] = []
    if cmd.take_pending:
        waited = await pending.waiting_of_customer(tx, cmd.customer_id, currency)
        if len({item.currency for item in waited}) > 1:
            raise InvalidRequest(
                "Items in several currencies wait: say which to bill.",
                code="currency_missing",
                param="currency",
            )
    if len(waited) + len(inline) > ITEMS_MAX:
        raise InvalidRequest(f"An invoice takes at most {ITEMS_MAX} items.", param="items")
    return (*waited, *inline)


async def _manual(
    tx: Tx,
    caller: Caller,
    cmd: CreateInvoice,
    items: tuple[PendingItem, ...],
    clock_id: UUID | None,
    now: datetime,
) -> tuple[Manual, list[redemptions.Resolved]]:
    merchant = caller.merchant_id
    if not items:
        raise InvalidRequest(
            "There is nothing to bill: give items, or let some wait.",
            code="nothing_to_invoice",
            param="items",
        )
    if cmd.series != "default":
        await series.check(tx, cmd.series)
    currency = items[0].currency
    order = Order(
        merchant,
        cmd.customer_id,
        None,
        currency,
        BillingReason.MANUAL,
        drafting.around([item.charge.period for item in items]),
        cmd.collection,
        cmd.net_days,
        None,
        clock_id,
        cmd.series,
        cmd.description,
    )
    given = await redemptions.resolve(
        tx, cmd.customer_id, cmd.coupon_ids, (), now, currency=currency
    )
    rates = await billing.tax_rates(tx, cmd.tax_rate_ids)
    customer = merchant, cmd.customer_id
    manual = Manual(
        order,
        items,
        await taxes_for(tx, customer, rates, automatic=cmd.automatic_tax),
        tuple(redeem(coupon, new_id(), promotion_code_id=code) for coupon, code in given),
        await policies.of_merchant(tx, merchant),
        is_draft=not cmd.auto_finalize,
    )
    return manual, given


async def update(rt: Runtime, caller: Caller, cmd: UpdateInvoice) -> UUID:
    """Change a draft, or what any invoice carries. Raises NotFound, Conflict, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        invoice = await lock_draft(tx, cmd.id)
        now = await now_of_customer(rt, tx, invoice.order.customer_id)
        if cmd.expected_version is not None and cmd.expected_version != invoice.version:
            raise Stale(f"It has changed meanwhile: the present version is {invoice.version}.")
        decision = await _changed(tx, caller, invoice, cmd, now)
        await decisions.record(tx, [decision], now)
        if cmd.metadata is not None:
            known = (await one_offs.described(tx, invoice.id)).metadata
            await one_offs.set_metadata(tx, invoice.id, merged(known, cmd.metadata))
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    return invoice.id


async def _changed(
    tx: Tx, caller: Caller, invoice: Invoice, cmd: UpdateInvoice, now: datetime
) -> Decision:
    if invoice.status is not Status.DRAFT and (cmd.changes or cmd.add_items or cmd.remove_items):
        raise Conflict(
            f"The invoice is {invoice.status}: only its metadata changes.",
            code=f"invoice_{invoice.status}",
        )
    draft = replace(invoice, order=replace(invoice.order, **cmd.changes))  # type: ignore[arg-type]
    if not cmd.add_items and not cmd.remove_items:
        changed = replace(draft, lines=(), version=invoice.version + 1)
        told = Event(new_id(), Type.INVOICE_UPDATED, changed)
        return Decision(invoice.merchant_id, invoices=(changed,), events=(told,))
    order = invoice.order
    drafting.check_editable(invoice)
    before = await pending.of_invoice(tx, invoice.id)
    gone = {item.id: item for item in before if item.id in cmd.remove_items}
    for place, item_id in enumerate(cmd.remove_items):
        if item_id not in gone:
            raise InvalidRequest(
                "The draft has no such item.",
                code="pending_item_not_found",
                param=f"remove_items[{place}]",
            )
    built = await build(
        tx, caller, cmd.add_items, order.customer_id, order.currency, now, "add_items"
    )
    added = [replace(item, invoice_id=invoice.id, is_inline=True) for item in built]
    after = [*(item for item in before if item.id not in gone), *added]
    billed = await redrafted(tx, draft, before, after, now)
    removed = [
        replace(item, invoice_id=None, deleted_at=now, version=item.version + 1)
        for item in gone.values()
    ]
    told_of = [(item, Type.PENDING_ITEM_CREATED) for item in added]
    told_of += [(item, Type.PENDING_ITEM_DELETED) for item in removed]
    return Decision(
        invoice.merchant_id,
        invoices=(billed.invoice,),
        pending=(*removed, *added),
        events=(*(Event(new_id(), kind, item) for item, kind in told_of), *billed.events),
    )


async def finalize(rt: Runtime, caller: Caller, invoice_id: UUID) -> UUID:
    """Make a draft final now, and collect it. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        invoice = await lock_draft(tx, invoice_id)
        now = await now_of_customer(rt, tx, invoice.order.customer_id)
        if invoice.status is not Status.DRAFT:
            raise Conflict(f"The invoice is {invoice.status}.", code=f"invoice_{invoice.status}")
        [draft] = await drafts.of_invoices(tx, [invoice])
        decision = finalizing.finalize(draft, now, new_id)
        await drafts.unpark(tx, (invoice.merchant_id, invoice.id))
        await decisions.record(tx, [decision], now)
        await deeds.note(tx, caller, "invoice.finalized", invoice.id, now)
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    await collect(rt, decision, now)
    return invoice.id


async def delete(rt: Runtime, caller: Caller, invoice_id: UUID) -> dict[str, Any]:
    """Throw a draft away that was made by hand; what had waited for it waits again.

    Returns it as it was: there is nothing left to show later.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        invoice = await lock_draft(tx, invoice_id)
        now = await now_of_customer(rt, tx, invoice.order.customer_id)
        items = await pending.of_invoice(tx, invoice.id)
        decision = drafting.delete(invoice, items, now, new_id)
        row = await views.one(tx, views.INVOICE, caller.merchant_id, invoice.id)
        assert row is not None, "it is locked"
        await one_offs.end_discounts(tx, invoice, now)
        await decisions.record(tx, [decision], now)
        await deeds.note(tx, caller, "invoice.deleted", invoice.id, now)
    return shown(views.INVOICE, row)
