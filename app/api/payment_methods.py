"""/v1/payment_methods: gateways' tokens, never card numbers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import PaymentMethod
from app.api.pages import Created
from app.db.views import PAYMENT_METHOD
from app.services import payment_methods
from app.services.payment_methods import AttachPaymentMethod, UpdatePaymentMethod

router = APIRouter(prefix="/v1/payment_methods", tags=["payment_methods"], route_class=Endpoint)

Token = Annotated[str, Field(min_length=1, max_length=255, examples=["pm_sim_ok"])]
Month = Annotated[int, Field(strict=True, ge=1, le=12)]
Year = Annotated[int, Field(strict=True, ge=2000, le=2200)]
Kind = Literal["card", "wallet", "bank_account", "mandate"]


class PaymentMethodAttach(Input):
    customer_id: c.CustomerRef
    gateway_reference: Annotated[
        Token, Field(description="The token the gateway gave for the card or account.")
    ]
    gateway_customer_reference: Annotated[
        Token | None, Field(description="The gateway's own customer, where tokens need one.")
    ] = None
    gateway_account_id: Annotated[
        c.GatewayAccountRef | None, Field(description="Absent: the default account.")
    ] = None
    type: Kind = "card"
    brand: Annotated[str, Field(max_length=40, examples=["visa"])] | None = None
    last_four: Annotated[str, Field(pattern=r"^[0-9]{4}$", examples=["4242"])] | None = None
    expiry_month: Month | None = None
    expiry_year: Year | None = None
    make_default: Annotated[
        Flag, Field(description="Pay the customer's invoices with it from now on.")
    ] = False
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> AttachPaymentMethod:
        return AttachPaymentMethod(**dict(self))


class PaymentMethodUpdate(Change):
    expiry_month: Month | None = None
    expiry_year: Year | None = None
    backup_order: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=100,
            description="Back-ups are tried in this order where the usual method is declined, as "
            "the dunning policy's `failover` has it. Null: it is none.",
        ),
    ] = None
    metadata: c.MetadataChange = Field(default_factory=dict)


class PaymentMethodList(ListOf[PaymentMethod]):
    pass


class PaymentMethodsQuery(Created):
    customer_id: c.CustomerRef | None = None
    type: Kind | None = None


@router.post(
    "", operation_id="attach_payment_method", status_code=201, response_model=PaymentMethod
)
async def attach_payment_method(ask: Asked, body: PaymentMethodAttach) -> Response:
    """Attach a gateway's token to a customer."""
    row = await payment_methods.attach(ask.rt, ask.caller, body.command())
    return ask.shown(PAYMENT_METHOD, row, 201)


@router.get("", operation_id="list_payment_methods", response_model=PaymentMethodList)
async def list_payment_methods(
    ask: Asked, query: Annotated[PaymentMethodsQuery, Query()]
) -> Response:
    """List payment methods, the newest first, without the detached ones."""
    return await ask.page(PAYMENT_METHOD, query)


@router.get("/{payment_method_id}", operation_id="get_payment_method", response_model=PaymentMethod)
async def get_payment_method(ask: Asked, payment_method_id: c.PaymentMethodRef) -> Response:
    """Get a payment method."""
    return await ask.one(PAYMENT_METHOD, payment_method_id)


@router.patch(
    "/{payment_method_id}", operation_id="update_payment_method", response_model=PaymentMethod
)
async def update_payment_method(
    ask: Asked, payment_method_id: c.PaymentMethodRef, body: PaymentMethodUpdate
) -> Response:
    """Change when a payment method expires, its place among the back-ups, or its metadata."""
    changes = body.model_dump(exclude_unset=True)
    cmd = UpdatePaymentMethod(payment_method_id, changes, ask.expected_version())
    return ask.shown(PAYMENT_METHOD, await payment_methods.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{payment_method_id}/detach",
    operation_id="detach_payment_method",
    response_model=PaymentMethod,
)
async def detach_payment_method(ask: Asked, payment_method_id: c.PaymentMethodRef) -> Response:
    """Detach a payment method: nothing is charged to it again."""
    row = await payment_methods.detach(ask.rt, ask.caller, payment_method_id)
    return ask.shown(PAYMENT_METHOD, row)
