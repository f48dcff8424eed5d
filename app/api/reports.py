"""/v1/reports: figures in sum."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, MinorUnits, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.domain.outcome import DeclineCategory
from app.services import recovery

router = APIRouter(prefix="/v1/reports", tags=["reports"], route_class=Endpoint)

Rate = Annotated[str, Field(description="Percent of the amount, as text; of those still open too.")]


class RecoverySums(Output):
    currency: c.Currency
    runs: Annotated[int, Field(description="Invoices that were not paid at first.")]
    amount: Annotated[MinorUnits, Field(description="What was to be paid of them then.")]
    recovered_runs: int
    recovered_amount: MinorUnits
    open_runs: Annotated[int, Field(description="Whose dunning is not over.")]
    open_amount: MinorUnits
    lost_runs: Annotated[int, Field(description="Whose dunning ended without success.")]
    recovery_rate: Rate


class RecoveryByCategory(RecoverySums):
    category: Annotated[
        str,
        open_enum(*DeclineCategory, "no_method"),
        Field(description="Of the first decline; no_method: there was nothing to charge."),
    ]


class RecoveryByMonth(RecoverySums):
    month: Annotated[str, Field(examples=["2030-01"], description="In which it began, UTC.")]


class RecoveryByAttempt(Output):
    currency: c.Currency
    attempt: Annotated[
        int | None,
        Field(description="The number of the one that succeeded; null: paid in another way."),
    ]
    runs: int
    amount: MinorUnits


class RecoveryReport(Output):
    object: Literal["recovery_report"]
    start: At
    end: At
    by_currency: list[RecoverySums]
    by_category: list[RecoveryByCategory]
    by_attempt: list[RecoveryByAttempt]
    by_month: list[RecoveryByMonth]


class RecoveryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    start: Annotated[c.Instant, Field(description="Of dunning that began from then on.")]
    end: Annotated[c.Instant, Field(description="And before then.")]


@router.get("/recovery", operation_id="get_recovery_report", response_model=RecoveryReport)
async def get_recovery_report(ask: Asked, query: Annotated[RecoveryQuery, Query()]) -> Response:
    """How much of what was not paid at first dunning brought back."""
    found = await recovery.report(ask.rt, ask.caller, query.start, query.end)
    return answer(
        {
            "object": "recovery_report",
            "start": query.start,
            "end": query.end,
            "by_currency": found.by_currency,
            "by_category": found.by_category,
            "by_attempt": found.by_attempt,
            "by_month": found.by_month,
        },
        tagged=False,
    )
