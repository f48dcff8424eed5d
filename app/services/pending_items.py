"""Pending items through the API: charges and credits that wait for an invoice, or stand on a draft.

An item on a draft is part of it: whoever adds, changes or deletes one has the draft reckoned anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from app import ids
from app.db import (
    billing,
    decisions,
    drafts,
    invoices,
    one_offs,
    pending,
    policies,
    prices,
    subscriptions,
    taxes,
)
from app.db.base import Tx
from app.domain import drafting
from app.domain.calendar import Period
from app.domain.decision import Decision
from app.domain.drafting import Manual, Taxes
from app.domain.errors import Conflict, InvalidRequest, NotFound, Stale
from app.domain.event import Type
from app.domain.invoice import Charge, Invoice, LineKind
from app.domain.invoicing import Billed
from app.domain.pending import PendingItem
from app.domain.pricing import TaxBehaviour
from app.domain.tax import TaxRate
from app.ids import new_id
from app.runtime import Runtime
from app.services import idempotency
from app.services.caller import Caller
from app.services.metadata import merged
from app.services.moments import now_of_customer, time_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """What is charged: an amount, below zero to give something, or so many of a one-time price."""

    amount: int | None = None
    price_id: UUID | None = None
    quantity: int = 1
    description: str | None = None
    period: Period | None = None
    tax_code: str | None = None
    tax_behaviour: TaxBehaviour | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateItem:
    """An item and where it goes: a subscription's next invoice, a draft, or whichever takes it."""

    customer_id: UUID
    item: NewItem
    currency: str | None = None
    subscription_id: UUID | None = None
    invoice_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateItem:
    """What becomes otherwise; None stays as it is. `metadata` is merged, None takes a key out."""

    id: UUID
    amount: int | None = None
    quantity: int | None = None
    description: str | None = None
    metadata: Mapping[str, str | None] = field(default_factory=dict)
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateItem) -> UUID:
    """Let something wait to be billed, or put it on a draft. Raises NotFound, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        draft = None if cmd.invoice_id is None else await lock_draft(tx, cmd.invoice_id)
        customer = await billing.customer(tx, cmd.customer_id)
        now = time_of(rt, customer["frozen_at"], customer["clock_status"])
        currency = cmd.currency
        if cmd.subscription_id is not None:
            currency = await _of_subscription(tx, cmd)
        if draft is not None:
            currency = _of_draft(cmd, draft)
        [item] = await build(tx, caller, [cmd.item], cmd.customer_id, currency, now)
        item = replace(item, subscription_id=cmd.subscription_id)
        decision = drafting.told(item, Type.PENDING_ITEM_CREATED, new_id)
        if draft is not None:
            item = replace(item, invoice_id=draft.id, is_inline=True)
            before = await pending.of_invoice(tx, draft.id)
            decision = await _with_draft(tx, decision, item, draft, before, [*before, item], now)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("pi", item.id))
    return item.id


async def update(rt: Runtime, caller: Caller, cmd: UpdateItem) -> UUID:
    """Change an item that waits, or stands on a draft. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        item, draft = await _lock(tx, cmd.id)
        if cmd.expected_version is not None and cmd.expected_version != item.version:
            raise Stale(f"It has changed meanwhile: the present version is {item.version}.")
        now = await now_of_customer(rt, tx, item.customer_id)
        amount = cmd.amount
        if cmd.quantity is not None and item.charge.price_id is not None:
            amount = await _priced(tx, item, cmd)
        elif amount is not None and item.charge.price_id is not None:
            raise InvalidRequest("Its price says what it costs.", param="amount")
        changed = drafting.edited(item, amount, cmd.quantity, cmd.description)
        changed = replace(changed, metadata=merged(item.metadata, cmd.metadata))
        decision = drafting.told(changed, Type.PENDING_ITEM_UPDATED, new_id)
        if draft is not None:
            before = await pending.of_invoice(tx, draft.id)
            after = [changed if other.id == item.id else other for other in before]
            decision = await _with_draft(tx, decision, changed, draft, before, after, now)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("pi", item.id))
    return item.id


async def delete(rt: Runtime, caller: Caller, item_id: UUID) -> None:
    """Take an item back that waits, or off a draft. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        item, draft = await _lock(tx, item_id)
        now = await now_of_customer(rt, tx, item.customer_id)
        gone = replace(item, deleted_at=now, invoice_id=None, version=item.version + 1)
        decision = drafting.told(gone, Type.PENDING_ITEM_DELETED, new_id)
        if draft is not None:
            before = await pending.of_invoice(tx, draft.id)
            after = [other for other in before if other.id != item.id]
            decision = await _with_draft(tx, decision, gone, draft, before, after, now)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("pi", item.id))


async def build(  # noqa: PLR0913  what is charged, to whom, in what, when, and where it is said
    tx: Tx,
    caller: Caller,
    wanted: Sequence[NewItem],
    customer_id: UUID,
    currency: str | None,
    now: datetime,
    among: str = "",
) -> list[PendingItem]:
    """The items, priced. Raises InvalidRequest where one makes no sense or prices disagree."""
    merchant = caller.merchant_id
    policy = await policies.of_merchant(tx, merchant)
    price_ids = [item.price_id for item in wanted if item.price_id is not None]
    priced = await prices.load(tx, ((merchant, price_id) for price_id in price_ids))
    built = []
    for place, item in enumerate(wanted):
        param = f"{among}[{place}]." if among else ""
        period = item.period or drafting.moment(now)
        if item.price_id is not None:
            price = priced.get((merchant, item.price_id))
            if price is None:
                raise InvalidRequest(
                    "There is no such price.", code="price_not_found", param=f"{param}price_id"
                )
            charge = drafting.of_price(price, item.quantity, period, policy, param)
            if item.amount is not None:
                raise InvalidRequest("Give a price or an amount.", param=f"{param}amount")
            charge = replace(charge, description=item.description or charge.description)
            of, code = price.currency, price.tax_code
            behaviour: TaxBehaviour | None = price.tax_behaviour
        else:
            charge, of = _charged(item, period, param), currency or ""
            code, behaviour = item.tax_code, item.tax_behaviour
        currency = currency or of
        if not currency or of != currency:
            raise InvalidRequest(
                "Say in which currency; all items have the same.",
                code="currency_mismatch",
                param="currency",
            )
        built.append(
            PendingItem(
                new_id(),
                merchant,
                customer_id,
                None,
                currency,
                charge,
                now,
                tax_code=item.tax_code or code,
                tax_behaviour=item.tax_behaviour or behaviour,
                metadata=item.metadata,
            )
        )
    return built


def _charged(item: NewItem, period: Period, param: str) -> Charge:
    if not item.amount:
        raise InvalidRequest("Give an amount that is not zero, or a price.", param=f"{param}amount")
    if not item.description:
        raise InvalidRequest("Say what the amount is for.", param=f"{param}description")
    return Charge(LineKind.ONE_OFF, item.description, item.quantity, period, item.amount)


async def _priced(tx: Tx, item: PendingItem, cmd: UpdateItem) -> int:
    charge, merchant = item.charge, item.merchant_id
    assert charge.price_id is not None
    assert cmd.quantity is not None
    if cmd.amount is not None:
        raise InvalidRequest("Its price says what it costs.", param="amount")
    price = (await prices.load(tx, [(merchant, charge.price_id)]))[merchant, charge.price_id]
    policy = await policies.of_merchant(tx, merchant)
    return drafting.of_price(price, cmd.quantity, charge.period, policy, "").amount


async def _of_subscription(tx: Tx, cmd: CreateItem) -> str:
    """The currency of the subscription an item is for. Raises InvalidRequest."""
    assert cmd.subscription_id is not None
    if cmd.invoice_id is not None:
        raise InvalidRequest("Give a subscription or a draft.", param="invoice_id")
    about = await subscriptions.running(tx, cmd.subscription_id)
    if about is None or about["customer_id"] != cmd.customer_id:
        raise InvalidRequest(
            "The customer has no such subscription that runs.",
            code="subscription_not_found",
            param="subscription_id",
        )
    currency: str = about["currency"]
    if cmd.currency not in (None, currency):
        raise InvalidRequest(f"The subscription is in {currency}.", param="currency")
    return currency


def _of_draft(cmd: CreateItem, draft: Invoice) -> str:
    drafting.check_editable(draft)
    order = draft.order
    if order.customer_id != cmd.customer_id:
        raise InvalidRequest(
            "The draft is another customer's.", code="invoice_not_found", param="invoice_id"
        )
    if cmd.currency not in (None, order.currency):
        raise InvalidRequest(f"The draft is in {order.currency}.", param="currency")
    return order.currency


# ── drafts ────────────────────────────────────────────────────────────────────────────────────────


async def lock_draft(tx: Tx, invoice_id: UUID) -> Invoice:
    """An invoice, locked after its subscription, as everything locks them. Raises NotFound."""
    about = await invoices.subscription_of(tx, invoice_id)
    if about is not None:
        await subscriptions.lock_row(tx, about)
    return await invoices.lock(tx, invoice_id)


async def _lock(tx: Tx, item_id: UUID) -> tuple[PendingItem, Invoice | None]:
    """An item and the draft it stands on, the draft locked first. Raises NotFound, Conflict."""
    about = await pending.invoice_of(tx, item_id)
    draft = None if about is None else await lock_draft(tx, about)
    item = await pending.lock(tx, item_id)
    if item.invoice_id != about:
        raise Stale("It was billed in the meantime; read it again.")
    if draft is not None:
        if draft.status != "draft":
            raise Conflict("It was billed; it stays.", code="pending_item_billed")
        drafting.check_editable(draft)
    return item, draft


async def _with_draft(  # noqa: PLR0913  the decision, the item, and the draft before and after
    tx: Tx,
    decision: Decision,
    item: PendingItem,
    draft: Invoice,
    before: Sequence[PendingItem],
    after: Sequence[PendingItem],
    now: datetime,
) -> Decision:
    """The decision about an item with its draft reckoned anew."""
    billed = await redrafted(tx, draft, before, after, now)
    return replace(
        decision,
        invoices=(billed.invoice,),
        pending=(item,),
        events=(*decision.events, *billed.events),
    )


async def redrafted(
    tx: Tx,
    draft: Invoice,
    before: Sequence[PendingItem],
    after: Sequence[PendingItem],
    now: datetime,
) -> Billed:
    """The draft with the items `after` instead of `before`."""
    manual = Manual(
        draft.order,
        tuple(after),
        await taxes_of(tx, draft),
        await one_offs.discounts(tx, draft),
        draft.policy,
    )
    await drafts.unpark(tx, (draft.merchant_id, draft.id))
    return drafting.redraft(draft, before, manual, now, new_id)


async def taxes_of(tx: Tx, draft: Invoice) -> Taxes:
    """How new items of a draft are taxed: as it is, or as its subscription."""
    order = draft.order
    if order.subscription_id is not None:
        automatic, rates = await subscriptions.taxed_by(tx, order.subscription_id)
    else:
        what = await one_offs.described(tx, draft.id)
        automatic = what.automatic_tax
        rates = await one_offs.rates(tx, order.merchant_id, what.tax_rate_ids)
    return await taxes_for(tx, (order.merchant_id, order.customer_id), rates, automatic=automatic)


async def taxes_for(
    tx: Tx, customer: tuple[UUID, UUID], rates: Sequence[TaxRate], *, automatic: bool
) -> Taxes:
    """Given rates, or what is found for a customer. Raises NotFound."""
    if not automatic:
        return Taxes(tuple(rates))
    found = (await taxes.load(tx, [customer])).get(customer)
    if found is None:
        raise NotFound("There is no such customer.", code="customer_not_found")
    return Taxes(taxation=found)
