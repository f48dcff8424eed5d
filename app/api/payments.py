"""/v1/payments: the collection of invoices."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import secret_answer
from app.api.common import Input, ListOf, Output
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Payment
from app.api.pages import Created
from app.db.views import PAYMENT
from app.domain.offline import Overpayment
from app.domain.payment import OfflineMethod, Status
from app.ids import show
from app.services import offline_payments, payment_actions, verdicts
from app.services.offline_payments import RecordPayment
from app.services.verdicts import ResolvePayment, Verdict

router = APIRouter(prefix="/v1/payments", tags=["payments"], route_class=Endpoint)

Reference = Annotated[str, Field(min_length=1, max_length=140, examples=["TRF-2026-02-03/4711"])]


class PaymentList(ListOf[Payment]):
    pass


class PaymentsQuery(Created):
    customer_id: c.CustomerRef | None = None
    invoice_id: c.InvoiceRef | None = None
    status: Status | None = None
    kind: Literal["gateway", "offline"] | None = None
    postponed: Annotated[
        bool | None, Field(description="Whether it is put off (`postponed_reason`).")
    ] = None
    reference: Reference | None = None


class PaymentCreate(Input):
    """Money that came outside of any gateway."""

    invoice_id: c.InvoiceRef
    method: Annotated[OfflineMethod, Field(description="How it came.")]
    amount: Annotated[
        c.PositiveAmount | None, Field(description="Absent: all that remains of the invoice.")
    ] = None
    received_at: Annotated[c.Instant | None, Field(description="Absent: just now.")] = None
    reference: Annotated[
        Reference | None,
        Field(description="Recorded once: what has it already is refused, until it is reversed."),
    ] = None
    note: c.Description | None = None
    overpayment: Annotated[
        Overpayment,
        Field(
            description="What becomes of more than remains: `refuse` it, or let the rest go "
            "`to_balance` as the customer's credit."
        ),
    ] = Overpayment.REFUSE

    def command(self) -> RecordPayment:
        return RecordPayment(**dict(self))


class PaymentReverse(Input):
    reason: c.Description | None = None


class PaymentAction(Output):
    object: Literal["payment_action"]
    payment_id: c.PaymentId
    status: Annotated[
        str,
        Field(
            description="Of the payment; there is nothing to do but in `requires_action`.",
            examples=["requires_action"],
        ),
    ]
    action_url: Annotated[
        str | None, Field(description="Where the customer goes; or the gateway has no such page.")
    ]
    client_secret: Annotated[
        str | None,
        Field(description="What the gateway's script in your page confirms with, if it asks."),
    ]


class PaymentResolve(Input):
    outcome: Annotated[Verdict, Field(description="What you found out at the gateway.")]
    gateway_reference: Annotated[
        str | None,
        Field(
            min_length=1, max_length=255, description="Where it took money: the gateway's own id."
        ),
    ] = None


@router.get("", operation_id="list_payments", response_model=PaymentList)
async def list_payments(ask: Asked, query: Annotated[PaymentsQuery, Query()]) -> Response:
    """List payments, the newest first."""
    return await ask.page(PAYMENT, query)


@router.post("", operation_id="create_payment", status_code=201, response_model=Payment)
async def create_payment(ask: Asked, body: PaymentCreate) -> Response:
    """Record a payment that came outside of any gateway: a transfer, cash, a cheque. Less than
    remains leaves the invoice open. 409 `payment_in_flight` while a charge may take the same.
    """
    made = await offline_payments.record(ask.rt, ask.caller, body.command())
    return await ask.present(PAYMENT, made, 201)


@router.post("/{payment_id}/reverse", operation_id="reverse_payment", response_model=Payment)
async def reverse_payment(ask: Asked, payment_id: c.PaymentRef, body: PaymentReverse) -> Response:
    """Take a recorded payment back, whole: it bounced, or was a mistake. The invoice is owed again;
    nothing charges it until you say so.
    """
    undone = await offline_payments.reverse(ask.rt, ask.caller, payment_id, body.reason)
    return await ask.present(PAYMENT, undone)


@router.get("/{payment_id}", operation_id="get_payment", response_model=Payment)
async def get_payment(ask: Asked, payment_id: c.PaymentRef) -> Response:
    """Get a payment."""
    return await ask.one(PAYMENT, payment_id)


@router.get("/{payment_id}/action", operation_id="get_payment_action", response_model=PaymentAction)
async def get_payment_action(ask: Asked, payment_id: c.PaymentRef) -> Response:
    """What the customer is to do for a payment that waits for that, as the gateway says now."""
    found = await payment_actions.action(ask.rt, ask.caller, payment_id)
    shown = {
        "object": "payment_action",
        "payment_id": show("pay", found.payment_id),
        "status": found.status,
        "action_url": found.action_url,
        "client_secret": found.client_secret,
    }
    return secret_answer(shown, 200)


@router.post("/{payment_id}/cancel", operation_id="cancel_payment", response_model=Payment)
async def cancel_payment(ask: Asked, payment_id: c.PaymentRef) -> Response:
    """Give up on a payment that waits for its customer: the gateway is told, and from then on it
    waits for a payment method or a retry. 409 when the customer was quicker.
    """
    return await ask.present(PAYMENT, await payment_actions.cancel(ask.rt, ask.caller, payment_id))


@router.post("/{payment_id}/resolve", operation_id="resolve_payment", response_model=Payment)
async def resolve_payment(ask: Asked, payment_id: c.PaymentRef, body: PaymentResolve) -> Response:
    """Say what a payment came to whose outcome no look-up could find. The gateway is asked once
    more: 409 when it disagrees, or when there is still something to be found out. Where it took
    another amount, the attempt is closed and the money is a reconciliation difference.
    """
    cmd = ResolvePayment(payment_id, body.outcome, body.gateway_reference)
    return await ask.present(PAYMENT, await verdicts.resolve(ask.rt, ask.caller, cmd))
