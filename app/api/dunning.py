"""/v1/dunning_policies and /v1/dunning_runs: what follows when an invoice is not paid."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import At, Change, Documents, Expanded, Flag, Input, ListOf, MinorUnits, Output
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Customer, Invoice
from app.api.pages import Created
from app.db.views import DUNNING_POLICY, DUNNING_RUN
from app.domain import dunning_policy as terms
from app.domain.dunning_policy import Failover, FinalAction, Policy, UnpaidInvoice
from app.domain.dunning_run import EndReason, Status, Waiting
from app.domain.invoice import Collection
from app.domain.outcome import DeclineCategory
from app.services import dunning, dunning_policies, invoices
from app.services.dunning_policies import CreateDunningPolicy, UpdateDunningPolicy
from app.services.invoices import PayInvoice

router = APIRouter(tags=["dunning"], route_class=Endpoint)

Channel = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["email"])]
Channels = Annotated[
    list[Channel],
    Field(
        max_length=terms.CHANNELS_MAX,
        description="Who is to be told, in your words: they stand in the events.",
    ),
]
AttemptsMax = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=terms.ATTEMPTS_MAX,
        description="Attempts at one invoice in 30 days, by whatever method.",
    ),
]
Segment = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="For customers whose metadata has this as `segment`.",
        examples=["enterprise"],
    ),
]


class DunningStep(Input):
    """So many days and hours after the failure, or at a time of that day."""

    days: Annotated[int, Field(strict=True, ge=0, le=terms.DAYS_MAX)]
    hours: Annotated[int, Field(strict=True, ge=0, le=23)] = 0
    at: Annotated[
        str | None,
        Field(
            pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
            description="The time of that day, in the customer's time zone.",
            examples=["09:00"],
        ),
    ] = None
    attempt: Annotated[Flag, Field(description="False: a reminder, without an attempt.")] = True
    channels: Annotated[Channels | None, Field(description="Absent: those of the policy.")] = None


class DunningStepShown(Output):
    days: int
    hours: int
    at: str | None
    attempt: bool
    channels: list[str] | None


Steps = Annotated[list[DunningStep], Field(max_length=terms.STEPS_MAX)]


class DunningPolicy(Output):
    id: c.DunningPolicyId
    object: Literal["dunning_policy"]
    code: str
    name: str
    is_default: Annotated[bool, Field(description="For all that no other policy is for.")]
    segment: str | None
    plan_ids: list[c.PlanId]
    steps: list[DunningStepShown]
    channels: list[str]
    final_action: Annotated[str, c.open_enum(*FinalAction)]
    unpaid_invoice: Annotated[str, c.open_enum(*UnpaidInvoice)]
    attempts_max: int
    reminders: Annotated[
        list[DunningStepShown],
        Field(description="For invoices that are sent: days from when they are due."),
    ]
    overdue_action: Annotated[str, c.open_enum(*FinalAction)]
    failover: Annotated[str, c.open_enum(*Failover)]
    metadata: Documents
    active: bool
    created_at: At
    version: c.Version


class DunningRun(Output):
    id: c.DunningRunId
    object: Literal["dunning_run"]
    invoice_id: c.InvoiceId
    invoice: Invoice | None = Expanded
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    policy_id: Annotated[
        c.DunningPolicyId | None, Field(description="Null: the policy that merchants begin with.")
    ]
    policy: DunningPolicy | None = Expanded
    status: Annotated[str, c.open_enum(*Status)]
    collection_method: Annotated[str, c.open_enum(*Collection)]
    currency: c.Currency
    amount: Annotated[MinorUnits, Field(description="What was to be paid when it began.")]
    failed_at: Annotated[
        At,
        Field(description="What its days count from; moved on by the time it was paused."),
    ]
    time_zone: str
    step: Annotated[int, Field(description="How many of its steps have come.")]
    steps: Annotated[
        list[DunningStepShown], Field(description="As the policy had them when it began.")
    ]
    channels: Annotated[list[str], Field(description="Who is told of the step that came last.")]
    attempts: Annotated[int, Field(description="Attempts that were declined.")]
    next_attempt_at: At | None
    next_action_at: Annotated[At | None, Field(description="When a reminder is due, or its end.")]
    waiting_for: Annotated[str, c.open_enum(*Waiting)] | None
    first_category: Annotated[
        str | None,
        c.open_enum(*DeclineCategory),
        Field(description="Of the decline it began with; null: there was nothing to charge."),
    ]
    last_category: Annotated[str | None, c.open_enum(*DeclineCategory)]
    last_code: str | None
    paused_at: At | None
    ended_at: At | None
    end_reason: Annotated[str | None, c.open_enum(*EndReason)]
    planned_action: Annotated[
        str, c.open_enum(*FinalAction), Field(description="What is done when no step is left.")
    ]
    final_action: Annotated[
        str | None, c.open_enum(*FinalAction), Field(description="What was done to it.")
    ]
    amount_recovered: MinorUnits
    recovered_by_attempt: Annotated[
        int | None,
        Field(description="The number of the attempt that succeeded; null: paid in another way."),
    ]
    parked_at: At | None
    parked_reason: str | None
    test_clock_id: c.TestClockId | None
    created_at: At
    version: c.Version


class PolicyTerms(Input):
    steps: Annotated[
        Steps, Field(description="Days after the first failure, in the customer's time zone.")
    ] = Field(default_factory=lambda: [DunningStep(days=days) for days in (1, 3, 5, 7)])
    channels: Channels = Field(default_factory=lambda: list(terms.DEFAULT.channels))
    final_action: Annotated[
        FinalAction, Field(description="What becomes of the subscription in the end.")
    ] = terms.DEFAULT.final_action
    unpaid_invoice: Annotated[
        UnpaidInvoice, Field(description="What becomes of the invoice in the end.")
    ] = terms.DEFAULT.unpaid_invoice
    attempts_max: AttemptsMax = terms.DEFAULT.attempts_max
    reminders: Annotated[
        Steps,
        Field(description="For invoices that are sent: days from when they are due, no attempts."),
    ] = Field(default_factory=lambda: [DunningStep(days=days, attempt=False) for days in (1, 7)])
    overdue_action: Annotated[
        FinalAction, Field(description="The same as `final_action`, for invoices that are sent.")
    ] = terms.DEFAULT.overdue_action
    failover: Annotated[
        Failover,
        Field(description="After which declines a customer's back-up methods are tried at once."),
    ] = terms.DEFAULT.failover


class DunningPolicyCreate(PolicyTerms):
    code: c.Code
    name: c.Name
    is_default: Annotated[Flag, Field(description="In place of the default there is.")] = False
    segment: Segment | None = None
    plan_ids: Annotated[
        list[c.PlanRef],
        Field(max_length=100, description="A plan has one policy: the one it was given last."),
    ] = Field(default_factory=list)
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateDunningPolicy:
        named = {"code", "name", "is_default", "segment", "plan_ids", "metadata"}
        given = self.model_dump()
        policy = Policy(**_terms({k: v for k, v in given.items() if k not in named}))
        return CreateDunningPolicy(policy=policy, **{name: given[name] for name in named})


class DunningPolicyUpdate(Change):
    name: c.Name = ""
    is_default: Flag = False
    segment: Segment | None = None
    plan_ids: Annotated[list[c.PlanRef], Field(max_length=100)] = Field(default_factory=list)
    steps: Steps = Field(default_factory=list)
    channels: Channels = Field(default_factory=list)
    final_action: FinalAction = FinalAction.CANCEL
    unpaid_invoice: UnpaidInvoice = UnpaidInvoice.KEEP_OPEN
    attempts_max: AttemptsMax = terms.ATTEMPTS_MAX
    reminders: Steps = Field(default_factory=list)
    overdue_action: FinalAction = FinalAction.KEEP
    failover: Failover = Failover.ANY
    active: Annotated[Flag, Field(description="False: for nobody any more.")] = True
    metadata: c.MetadataChange = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        given = self.model_dump(exclude_unset=True)
        for name in ("steps", "reminders"):
            if name in given:  # whole steps, with what their fields are where nothing is said
                given[name] = [step.model_dump() for step in getattr(self, name)]
        return _terms(given)


def _terms(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a policy as decisions know them."""
    found = dict(given)
    for name in ("steps", "reminders"):
        if name in found:
            found[name] = tuple(terms.step_of(step) for step in found[name])
    if "channels" in found:
        found["channels"] = tuple(found["channels"])
    return found


class DunningPolicyList(ListOf[DunningPolicy]):
    pass


class DunningPoliciesQuery(Created):
    active: bool | None = None
    code: c.Code | None = None
    segment: Segment | None = None


class DunningRunList(ListOf[DunningRun]):
    pass


class DunningRunsQuery(Created):
    status: Status | None = None
    invoice_id: c.InvoiceRef | None = None
    customer_id: c.CustomerRef | None = None
    policy_id: c.DunningPolicyRef | None = None


class DunningRunRetry(Input):
    payment_method_id: Annotated[
        c.PaymentMethodRef | None, Field(description="Absent: the one in use.")
    ] = None


@router.post(
    "/v1/dunning_policies",
    operation_id="create_dunning_policy",
    status_code=201,
    response_model=DunningPolicy,
)
async def create_dunning_policy(ask: Asked, body: DunningPolicyCreate) -> Response:
    """Say when payments that fail are tried again, who is told, and how it ends."""
    row = await dunning_policies.create(ask.rt, ask.caller, body.command())
    return ask.shown(DUNNING_POLICY, row, 201)


@router.get(
    "/v1/dunning_policies", operation_id="list_dunning_policies", response_model=DunningPolicyList
)
async def list_dunning_policies(
    ask: Asked, query: Annotated[DunningPoliciesQuery, Query()]
) -> Response:
    """List policies, the newest first."""
    return await ask.page(DUNNING_POLICY, query)


@router.get(
    "/v1/dunning_policies/{dunning_policy_id}",
    operation_id="get_dunning_policy",
    response_model=DunningPolicy,
)
async def get_dunning_policy(ask: Asked, dunning_policy_id: c.DunningPolicyRef) -> Response:
    """Get a policy."""
    return await ask.one(DUNNING_POLICY, dunning_policy_id)


@router.patch(
    "/v1/dunning_policies/{dunning_policy_id}",
    operation_id="update_dunning_policy",
    response_model=DunningPolicy,
)
async def update_dunning_policy(
    ask: Asked, dunning_policy_id: c.DunningPolicyRef, body: DunningPolicyUpdate
) -> Response:
    """Change a policy, for what fails from now on; what runs goes on as it began."""
    cmd = UpdateDunningPolicy(dunning_policy_id, body.changes(), ask.expected_version())
    return ask.shown(DUNNING_POLICY, await dunning_policies.update(ask.rt, ask.caller, cmd))


@router.get("/v1/dunning_runs", operation_id="list_dunning_runs", response_model=DunningRunList)
async def list_dunning_runs(ask: Asked, query: Annotated[DunningRunsQuery, Query()]) -> Response:
    """List the dunning of invoices, the newest first."""
    return await ask.page(DUNNING_RUN, query)


@router.get(
    "/v1/dunning_runs/{dunning_run_id}", operation_id="get_dunning_run", response_model=DunningRun
)
async def get_dunning_run(ask: Asked, dunning_run_id: c.DunningRunRef) -> Response:
    """Get the dunning of an invoice."""
    return await ask.one(DUNNING_RUN, dunning_run_id)


@router.post(
    "/v1/dunning_runs/{dunning_run_id}/pause",
    operation_id="pause_dunning_run",
    response_model=DunningRun,
)
async def pause_dunning_run(ask: Asked, dunning_run_id: c.DunningRunRef) -> Response:
    """Pause it: nothing is tried, told or done, and its days stand still."""
    return await _present(ask, await dunning.pause(ask.rt, ask.caller, dunning_run_id))


@router.post(
    "/v1/dunning_runs/{dunning_run_id}/resume",
    operation_id="resume_dunning_run",
    response_model=DunningRun,
)
async def resume_dunning_run(ask: Asked, dunning_run_id: c.DunningRunRef) -> Response:
    """Let it go on where it was paused, or where it was set aside (`parked_reason`)."""
    return await _present(ask, await dunning.resume(ask.rt, ask.caller, dunning_run_id))


@router.post(
    "/v1/dunning_runs/{dunning_run_id}/stop",
    operation_id="stop_dunning_run",
    response_model=DunningRun,
)
async def stop_dunning_run(ask: Asked, dunning_run_id: c.DunningRunRef) -> Response:
    """End it for good; the invoice stays as it is, and so does its subscription."""
    return await _present(ask, await dunning.stop(ask.rt, ask.caller, dunning_run_id))


@router.post(
    "/v1/dunning_runs/{dunning_run_id}/retry",
    operation_id="retry_dunning_run",
    response_model=DunningRun,
)
async def retry_dunning_run(
    ask: Asked, dunning_run_id: c.DunningRunRef, body: DunningRunRetry
) -> Response:
    """Try to collect the invoice now; if it is declined, its dunning goes on as planned."""
    invoice_id = await dunning.invoice_of(ask.rt, ask.caller, dunning_run_id)
    await invoices.pay(ask.rt, ask.caller, PayInvoice(invoice_id, body.payment_method_id))
    return await _present(ask, dunning_run_id)


async def _present(ask: Asked, run_id: UUID) -> Response:
    return await ask.present(DUNNING_RUN, run_id)
