"""What a simulation is asked for with, and what it answers."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.api import common as c
from app.api.common import At, Input, MinorUnits, Output, open_enum
from app.api.previews import PreviewedInvoice, PreviewedItem
from app.api.subscriptions import (
    SubscriptionCancel,
    SubscriptionChange,
    SubscriptionCreate,
    SubscriptionPause,
)
from app.domain.policy import When
from app.domain.simulation import ACTS_MAX
from app.services.simulations import MONTHS_MAX

TIMES_MAX = 1_000
USED_MAX = 1_000_000_000_000

About = Annotated[
    c.SubscriptionRef | None, Field(description="Absent: every subscription that still runs.")
]


class SimulatedChange(Input):
    """A change of what a subscription is for."""

    do: Literal["change"]
    at: c.Instant
    subscription_id: About = None
    change: Annotated[SubscriptionChange, Field(description="As to /change.")]


class SimulatedCancel(Input):
    """A cancellation."""

    do: Literal["cancel"]
    at: c.Instant
    subscription_id: About = None
    cancel: Annotated[SubscriptionCancel, Field(description="As to /cancel.")] = Field(
        default_factory=SubscriptionCancel
    )


class SimulatedPause(Input):
    """A pause."""

    do: Literal["pause"]
    at: c.Instant
    subscription_id: About = None
    pause: Annotated[SubscriptionPause, Field(description="As to /pause.")] = Field(
        default_factory=SubscriptionPause
    )


class SimulatedResume(Input):
    """The end of a pause."""

    do: Literal["resume"]
    at: c.Instant
    subscription_id: About = None


class SimulatedSubscribe(Input):
    """A new subscription."""

    do: Literal["subscribe"]
    at: c.Instant
    create: Annotated[SubscriptionCreate, Field(description="As to POST /v1/subscriptions.")]


class SimulatedFailure(Input):
    """The next attempts at payments are declined."""

    do: Literal["fail_payment"]
    at: c.Instant
    times: Annotated[int, Field(strict=True, ge=1, le=TIMES_MAX)] = 1
    payment_method_id: Annotated[
        c.PaymentMethodRef | None,
        Field(description="Those by this method alone. Absent: whatever they are made with."),
    ] = None
    decline: Annotated[
        Literal["soft", "hard"],
        Field(description="After a hard one the method is not asked again, until `succeed`."),
    ] = "soft"


class SimulatedSuccess(Input):
    """Payments go through again, and what is owed is tried at once."""

    do: Literal["succeed"]
    at: c.Instant


class SimulatedUsage(Input):
    """Something metered is used."""

    do: Literal["usage"]
    at: c.Instant
    subscription_id: About = None
    subscription_item_id: Annotated[
        c.SubscriptionItemRef | None, Field(description="Absent: the first that is metered.")
    ] = None
    quantity: Annotated[int, Field(strict=True, ge=0, le=USED_MAX)]
    events: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 1


class SimulatedPrice(Input):
    """Who has a price gets its next version."""

    do: Literal["new_price"]
    at: c.Instant
    subscription_id: About = None
    price_id: c.PriceRef
    unit_amount: c.UnitAmount | None = None
    percent_change: Annotated[
        str | None,
        Field(
            pattern=r"^-?[0-9]{1,3}(\.[0-9]{1,4})?$",
            description="So much dearer, or cheaper: at least -100.",
            examples=["10", "-12.5"],
        ),
    ] = None
    when: When | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.unit_amount is None) == (self.percent_change is None):
            raise ValueError("Say the new unit_amount or a percent_change.")
        return self


ScriptEntry = Annotated[
    SimulatedChange
    | SimulatedCancel
    | SimulatedPause
    | SimulatedResume
    | SimulatedSubscribe
    | SimulatedFailure
    | SimulatedSuccess
    | SimulatedUsage
    | SimulatedPrice,
    Field(discriminator="do"),
]


class SimulationCreate(Input):
    """A subscription, a customer with all of theirs, or, with neither, the whole merchant."""

    subscription_id: c.SubscriptionRef | None = None
    customer_id: c.CustomerRef | None = None
    months: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=MONTHS_MAX)] | None,
        Field(description="How long. Absent, without `until`: 12."),
    ] = None
    until: Annotated[c.Instant | None, Field(description="The end, instead of months.")] = None
    script: Annotated[list[ScriptEntry], Field(max_length=ACTS_MAX)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if self.subscription_id is not None and self.customer_id is not None:
            raise ValueError("Simulate a subscription or a customer, not both.")
        if self.months is not None and self.until is not None:
            raise ValueError("Say months or until, not both.")
        return self


class SimulatedHappening(Output):
    at: At
    type: Annotated[
        str, open_enum("subscription.renewed", "script.change", "script.change.refused")
    ]
    subscription_id: Annotated[
        str | None, Field(description="Of one that exists, or `new_1` and so on.")
    ]
    invoice: Annotated[int | None, Field(description="Which of the invoices, counted from 1.")]
    payment_method_id: Annotated[
        str | None,
        Field(description="Of `payment.` events, as in them: what was charged, or is tried next."),
    ]
    detail: str | None


class SimulatedInvoice(PreviewedInvoice):
    number: Annotated[int, Field(description="Counted from 1; no real number is used.")]
    subscription_id: str | None
    status: Annotated[str, open_enum("draft", "open", "paid", "void")]
    amount_paid: MinorUnits


class SimulatedMonth(Output):
    month: Annotated[str, Field(examples=["2030-01"])]
    currency: c.Currency
    invoices: int
    billed: MinorUnits
    tax: MinorUnits
    credited: MinorUnits
    collected: MinorUnits


class SimulatedAccount(Output):
    account: Annotated[str, Field(examples=["receivable"])]
    currency: c.Currency
    balance: Annotated[int, Field(description="Debits less credits, in minor units.")]


class SimulatedSubscription(Output):
    id: str
    status: str
    period_start: At | None
    period_end: At | None
    items: list[PreviewedItem]
    parked: Annotated[str | None, Field(description="Why the clock would set it aside.")]


class SimulatedCredit(Output):
    customer_id: c.CustomerId
    currency: c.Currency
    amount: MinorUnits


class Simulation(Output):
    object: Literal["simulation"]
    begun_at: At
    until: At
    steps: Annotated[int, Field(description="Renewals, payments and drafts that took place.")]
    timeline: list[SimulatedHappening]
    invoices: list[SimulatedInvoice]
    months: list[SimulatedMonth]
    ledger: Annotated[
        list[SimulatedAccount], Field(description="What the simulation posted, by account.")
    ]
    balanced: bool
    subscriptions: Annotated[list[SimulatedSubscription], Field(description="As they end up.")]
    customer_credit: list[SimulatedCredit]
