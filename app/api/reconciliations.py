"""/v1/reconciliations: our books beside the gateways' own, and what mends what differs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import At, Expanded, Input, ListOf, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.objects import GatewayAccount, Payment, Refund
from app.api.pages import Created
from app.db.views import RECONCILIATION, RECONCILIATION_DIFFERENCE
from app.domain.reconciling import Kind, Repair
from app.services import reconciliation, reconciliation_repairs
from app.services.reconciliation import CreateReconciliation
from app.services.reconciliation_repairs import RepairDifference

router = APIRouter(tags=["reconciliations"], route_class=Endpoint)

STATUSES = ("pending", "running", "succeeded", "failed")
OPEN = ("open", "repairing", "repaired", "dismissed")


class Reconciliation(Output):
    id: c.ReconciliationId
    object: Literal["reconciliation"]
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    status: Annotated[str, open_enum(*STATUSES)]
    window_start: At
    window_end: At
    charges_there: int
    refunds_there: int
    differences: int
    detail: Annotated[str | None, Field(description="Why it failed; nothing is concluded then.")]
    created_at: At
    finished_at: At | None


class ReconciliationDifference(Output):
    id: c.ReconciliationDifferenceId
    object: Literal["reconciliation_difference"]
    reconciliation_id: Annotated[
        c.ReconciliationId | None,
        Field(description="The comparison that found it; none has yet, where it was noticed."),
    ]
    reconciliation: Reconciliation | None = Expanded
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    kind: Annotated[str, open_enum(*Kind)]
    cause: Annotated[str, Field(description="What is usually behind it.")]
    repairs: Annotated[
        list[Annotated[str, open_enum(*Repair)]],
        Field(description="What mends it, the usual way first; none: correct it at the gateway."),
    ]
    status: Annotated[str, open_enum(*OPEN)]
    currency: c.Currency
    amount_here: Annotated[int | None, Field(description="In minor units, as our books have it.")]
    amount_there: Annotated[int | None, Field(description="As the gateway has it.")]
    gateway_reference: str | None
    our_reference: str | None
    payment_id: c.PaymentId | None
    payment: Payment | None = Expanded
    refund_id: c.RefundId | None
    refund: Refund | None = Expanded
    repair: Annotated[str | None, open_enum(*Repair)]
    note: str | None
    created_at: At
    seen_at: Annotated[At, Field(description="When it was noticed, or a comparison found it last.")]
    resolved_at: At | None
    version: c.Version


class ReconciliationCreate(Input):
    gateway_account_id: c.GatewayAccountRef
    start: Annotated[c.Instant | None, Field(description="Absent: two days before the end.")] = None
    end: Annotated[c.Instant | None, Field(description="Absent: now.")] = None

    def command(self) -> CreateReconciliation:
        return CreateReconciliation(self.gateway_account_id, self.start, self.end)


class DifferenceRepair(Input):
    repair: Annotated[Repair | None, Field(description="Absent: the usual way for its kind.")] = (
        None
    )


class DifferenceDismiss(Input):
    note: Annotated[
        str, Field(min_length=1, max_length=500, description="Why nothing is to be done.")
    ]


class ReconciliationList(ListOf[Reconciliation]):
    pass


class ReconciliationDifferenceList(ListOf[ReconciliationDifference]):
    pass


class ReconciliationsQuery(Created):
    gateway_account_id: c.GatewayAccountRef | None = None
    status: Literal["pending", "running", "succeeded", "failed"] | None = None


class DifferencesQuery(Created):
    gateway_account_id: c.GatewayAccountRef | None = None
    reconciliation_id: c.ReconciliationRef | None = None
    kind: Kind | None = None
    status: Literal["open", "repairing", "repaired", "dismissed"] | None = None


@router.post(
    "/v1/reconciliations",
    operation_id="create_reconciliation",
    status_code=201,
    response_model=Reconciliation,
)
async def create_reconciliation(ask: Asked, body: ReconciliationCreate) -> Response:
    """Compare our books with those of a gateway account; a worker does it in a moment."""
    made = await reconciliation.create(ask.rt, ask.caller, body.command())
    return await ask.present(RECONCILIATION, made, 201)


@router.get(
    "/v1/reconciliations", operation_id="list_reconciliations", response_model=ReconciliationList
)
async def list_reconciliations(
    ask: Asked, query: Annotated[ReconciliationsQuery, Query()]
) -> Response:
    """List comparisons, the newest first."""
    return await ask.page(RECONCILIATION, query)


@router.get(
    "/v1/reconciliations/{reconciliation_id}",
    operation_id="get_reconciliation",
    response_model=Reconciliation,
)
async def get_reconciliation(ask: Asked, reconciliation_id: c.ReconciliationRef) -> Response:
    """Get a comparison."""
    return await ask.one(RECONCILIATION, reconciliation_id)


@router.get(
    "/v1/reconciliation_differences",
    operation_id="list_reconciliation_differences",
    response_model=ReconciliationDifferenceList,
)
async def list_reconciliation_differences(
    ask: Asked, query: Annotated[DifferencesQuery, Query()]
) -> Response:
    """List what differs, the newest first."""
    return await ask.page(RECONCILIATION_DIFFERENCE, query)


@router.get(
    "/v1/reconciliation_differences/{reconciliation_difference_id}",
    operation_id="get_reconciliation_difference",
    response_model=ReconciliationDifference,
)
async def get_reconciliation_difference(
    ask: Asked, reconciliation_difference_id: c.ReconciliationDifferenceRef
) -> Response:
    """Get a difference."""
    return await ask.one(RECONCILIATION_DIFFERENCE, reconciliation_difference_id)


@router.post(
    "/v1/reconciliation_differences/{reconciliation_difference_id}/repair",
    operation_id="repair_reconciliation_difference",
    response_model=ReconciliationDifference,
)
async def repair_reconciliation_difference(
    ask: Asked, reconciliation_difference_id: c.ReconciliationDifferenceRef, body: DifferenceRepair
) -> Response:
    """Mend a difference: settle, apply, refund or record it, as its kind allows."""
    cmd = RepairDifference(reconciliation_difference_id, body.repair)
    done = await reconciliation_repairs.repair(ask.rt, ask.caller, cmd)
    return await ask.present(RECONCILIATION_DIFFERENCE, done)


@router.post(
    "/v1/reconciliation_differences/{reconciliation_difference_id}/dismiss",
    operation_id="dismiss_reconciliation_difference",
    response_model=ReconciliationDifference,
)
async def dismiss_reconciliation_difference(
    ask: Asked, reconciliation_difference_id: c.ReconciliationDifferenceRef, body: DifferenceDismiss
) -> Response:
    """Say why nothing is to be done about a difference."""
    done = await reconciliation_repairs.dismiss(
        ask.rt, ask.caller, reconciliation_difference_id, body.note
    )
    return await ask.present(RECONCILIATION_DIFFERENCE, done)
