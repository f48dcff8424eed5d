"""/v1/pending_items: charges and credits that wait for an invoice, or stand on a draft."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.invoice_objects import PendingItem
from app.api.pages import Created
from app.db.views import PENDING_ITEM
from app.domain.calendar import Period
from app.domain.pricing import TaxBehaviour
from app.services import pending_items
from app.services.pending_items import CreateItem, NewItem, UpdateItem

router = APIRouter(prefix="/v1/pending_items", tags=["pending items"], route_class=Endpoint)

QUANTITY_MAX = 10**9
Quantity = Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX)]


class ItemOfInvoice(Input):
    """An amount, below zero to give something; or so many of a one-time price."""

    amount: Annotated[
        c.SignedAmount | None,
        Field(description="Of all units together; below zero it is a credit by hand."),
    ] = None
    price_id: Annotated[c.PriceRef | None, Field(description="A one-time price.")] = None
    quantity: Quantity = 1
    description: Annotated[
        c.Description | None, Field(description="Absent: as the price says.")
    ] = None
    period_start: Annotated[
        c.Instant | None, Field(description="What time it is for; absent: this moment.")
    ] = None
    period_end: c.Instant | None = None
    tax_code: Annotated[
        c.Code | None, Field(description="The kind of product, where taxes are found by place.")
    ] = None
    tax_behaviour: TaxBehaviour | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_period(self) -> Self:
        start, end = self.period_start, self.period_end
        if (start is None) != (end is None):
            raise ValueError("Give both ends of the period, or none.")
        if start is not None and end is not None and end <= start:
            raise ValueError("A period ends after it begins.")
        return self

    def new_item(self) -> NewItem:
        start, end = self.period_start, self.period_end
        return NewItem(
            amount=self.amount,
            price_id=self.price_id,
            quantity=self.quantity,
            description=self.description,
            period=None if start is None or end is None else Period(start, end),
            tax_code=self.tax_code,
            tax_behaviour=self.tax_behaviour,
            metadata=self.metadata,
        )


class PendingItemCreate(ItemOfInvoice):
    """It waits for the subscription's next invoice, stands on the draft, or waits for whichever
    invoice takes it.
    """

    customer_id: c.CustomerRef
    subscription_id: c.SubscriptionRef | None = None
    invoice_id: Annotated[c.InvoiceRef | None, Field(description="A draft.")] = None
    currency: Annotated[
        c.Currency | None, Field(description="Absent: the price's, the subscription's, the draft's")
    ] = None

    def command(self) -> CreateItem:
        return CreateItem(
            customer_id=self.customer_id,
            item=self.new_item(),
            currency=self.currency,
            subscription_id=self.subscription_id,
            invoice_id=self.invoice_id,
        )


class PendingItemUpdate(Change):
    amount: c.SignedAmount = 0
    quantity: Quantity = 1
    description: c.Description = ""
    metadata: c.MetadataChange = Field(default_factory=dict)


class PendingItemList(ListOf[PendingItem]):
    pass


class PendingItemsQuery(Created):
    customer_id: c.CustomerRef | None = None
    subscription_id: c.SubscriptionRef | None = None
    invoice_id: c.InvoiceRef | None = None
    waiting: Annotated[bool | None, Field(description="Only those that no invoice took.")] = None


@router.post("", operation_id="create_pending_item", status_code=201, response_model=PendingItem)
async def create_pending_item(ask: Asked, body: PendingItemCreate) -> Response:
    """Let a charge, or a credit, wait to be billed; or put it on a draft."""
    made = await pending_items.create(ask.rt, ask.caller, body.command())
    return await ask.present(PENDING_ITEM, made, 201)


@router.get("", operation_id="list_pending_items", response_model=PendingItemList)
async def list_pending_items(ask: Asked, query: Annotated[PendingItemsQuery, Query()]) -> Response:
    """List what waits and what was taken, the newest first."""
    return await ask.page(PENDING_ITEM, query)


@router.get("/{pending_item_id}", operation_id="get_pending_item", response_model=PendingItem)
async def get_pending_item(ask: Asked, pending_item_id: c.PendingItemRef) -> Response:
    """Get a pending item."""
    return await ask.one(PENDING_ITEM, pending_item_id)


@router.patch("/{pending_item_id}", operation_id="update_pending_item", response_model=PendingItem)
async def update_pending_item(
    ask: Asked, pending_item_id: c.PendingItemRef, body: PendingItemUpdate
) -> Response:
    """Change what waits, or stands on a draft, which is reckoned anew."""
    cmd = UpdateItem(
        id=pending_item_id,
        **body.model_dump(exclude_unset=True),
        expected_version=ask.expected_version(),
    )
    return await ask.present(PENDING_ITEM, await pending_items.update(ask.rt, ask.caller, cmd))


@router.delete("/{pending_item_id}", operation_id="delete_pending_item", response_model=PendingItem)
async def delete_pending_item(ask: Asked, pending_item_id: c.PendingItemRef) -> Response:
    """Take back what waits, or take it off a draft."""
    await pending_items.delete(ask.rt, ask.caller, pending_item_id)
    return await ask.present(PENDING_ITEM, pending_item_id)
