"""/v1/subscriptions: what runs, on which prices, until when."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.history import SubscriptionThen
from app.api.objects import Subscription
from app.api.pages import Created
from app.api.schedule_objects import ITEMS_MAX, ItemInput, PhaseInput, Quantity, begun_with
from app.db.views import SUBSCRIPTION
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection
from app.domain.phases import PHASES_MAX, EndBehaviour
from app.domain.policy import AnchorChange, CancelCredit, CreditTo, PauseUnused, Settlement, When
from app.domain.pricing import TrialEnd
from app.domain.subscription import PausedInvoices, Status
from app.services import changes, history, subscriptions
from app.services.changes import ChangedItem, ChangeSubscription, MoveAnchor, PauseSubscription
from app.services.enrolment import DISCOUNTS_MAX, TAX_RATES_MAX, CreateSubscription
from app.services.subscriptions import Cancel, UpdateSubscription

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"], route_class=Endpoint)


class SubscriptionCreate(Input):
    """All prices have one currency and one interval."""

    customer_id: c.CustomerRef
    items: Annotated[
        list[ItemInput], Field(max_length=ITEMS_MAX, description="Absent where phases say it.")
    ] = Field(default_factory=list)
    phases: Annotated[
        list[PhaseInput],
        Field(
            max_length=PHASES_MAX,
            description="A schedule: the first phase is what the subscription begins with.",
        ),
    ] = Field(default_factory=list)
    end_behaviour: Annotated[
        EndBehaviour, Field(description="What happens when the last phase is over.")
    ] = EndBehaviour.RELEASE
    coupon_ids: Annotated[list[c.CouponRef], Field(max_length=DISCOUNTS_MAX)] = Field(
        default_factory=list
    )
    promotion_codes: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(max_length=DISCOUNTS_MAX, description="What customers type in."),
    ] = Field(default_factory=list)
    offer_token: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | None,
        Field(description="Of a redeemed offer: its coupon, price and trial are given."),
    ] = None
    tax_rate_ids: Annotated[list[c.TaxRateRef], Field(max_length=TAX_RATES_MAX)] = Field(
        default_factory=list
    )
    collection_method: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: Annotated[
        int, Field(strict=True, ge=0, le=365, description="Days to pay an invoice that is sent.")
    ] = 0
    payment_method_id: Annotated[
        c.PaymentMethodRef | None, Field(description="Absent: the customer's default.")
    ] = None
    start_at: Annotated[c.Instant | None, Field(description="Absent: now.")] = None
    trial_days: Annotated[
        Annotated[int, Field(strict=True, ge=0, le=730)] | None,
        Field(description="Absent: what the price says."),
    ] = None
    cancel_at: c.Instant | None = None
    cancel_at_period_end: Flag = False
    external_id: c.ExternalId | None = None
    metadata: c.Metadata = Field(default_factory=dict)
    one_off_items: Annotated[
        list[ItemInput],
        Field(max_length=ITEMS_MAX, description="One-time prices, on the first invoice."),
    ] = Field(default_factory=list)
    billing_anchor: Annotated[
        c.Instant | None,
        Field(description="The first boundary; a part of a period comes before it."),
    ] = None
    cycles: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=1200)] | None,
        Field(description="After how many full periods it ends."),
    ] = None
    automatic_tax: Annotated[
        Flag, Field(description="Find the taxes by who sells what to whom.")
    ] = False
    trial_end: Annotated[
        c.Instant | None, Field(description="The instant itself, instead of trial_days.")
    ] = None
    trial_end_without_payment_method: Annotated[
        TrialEnd | None, Field(description="Absent: what the price or the settings say.")
    ] = None
    billing_settings: Annotated[
        dict[str, str | int],
        Field(description="The billing settings in which it differs from the merchant's."),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_end_of_trial(self) -> Self:
        if self.trial_days is not None and self.trial_end is not None:
            raise ValueError("Say trial_days or trial_end, not both.")
        return self

    def command(self) -> CreateSubscription:
        fields: dict[str, Any] = dict(self)
        fields["collection"] = fields.pop("collection_method")
        fields["phases"] = tuple(phase.wanted() for phase in self.phases)
        if self.phases:
            if self.items or self.coupon_ids:
                raise InvalidRequest("Where there are phases, these say it.", param="items")
            fields |= begun_with(self.phases[0])
        elif not self.items:
            raise InvalidRequest("Say what is subscribed to: items, or phases.", param="items")
        for name in ("items", "one_off_items"):
            fields[name] = tuple((item.price_id, item.quantity) for item in fields[name])
        return CreateSubscription(**fields)


class BillingAnchorUpdate(Input):
    billing_anchor: Annotated[
        c.Instant,
        Field(description="A boundary, at the latest one interval after the present period."),
    ]
    anchor_change: Annotated[
        AnchorChange | None, Field(description="Absent: what the billing settings say.")
    ] = None

    def command(self, id: UUID, version: int | None) -> MoveAnchor:
        return MoveAnchor(id, self.billing_anchor, self.anchor_change, version)


class SubscriptionUpdate(Change):
    payment_method_id: c.PaymentMethodRef | None = None
    cancel_at_period_end: Flag = False
    collection_method: Collection = Collection.CHARGE_AUTOMATICALLY
    net_days: Annotated[int, Field(strict=True, ge=0, le=365)] = 0
    automatic_tax: Flag = False
    tax_rate_ids: Annotated[
        list[c.TaxRateRef],
        Field(max_length=TAX_RATES_MAX, description="All of them: those not named go."),
    ] = Field(default_factory=list)
    metadata: c.MetadataChange = Field(default_factory=dict)


class SubscriptionCancel(Input):
    """Without `when` and `credit` the billing settings decide."""

    when: Annotated[When | None, Field(description="Absent, without `at`: the settings'.")] = None
    at: Annotated[c.Instant | None, Field(description="A moment to end at.")] = None
    credit: Annotated[
        CancelCredit | None,
        Field(description="What of a period paid in advance comes back when it ends now."),
    ] = None
    credit_to: Annotated[
        CreditTo | None,
        Field(description="Where that goes. What nobody has paid is owed no more instead."),
    ] = None

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        _check_moment(self.when, self.at)
        return self

    def command(self, subscription_id: UUID, version: int | None = None) -> Cancel:
        return Cancel(subscription_id, self.at or self.when, self.credit, version, self.credit_to)


class ItemChangeInput(Input):
    """With `id` that item becomes another or goes; without, a price is added."""

    id: c.SubscriptionItemRef | None = None
    price_id: c.PriceRef | None = None
    quantity: Quantity | None = None
    is_removed: Flag = False

    @model_validator(mode="after")
    def _goes_or_stays(self) -> Self:
        if self.is_removed and (self.id is None or self.price_id or self.quantity is not None):
            raise ValueError("To remove an item, send its id and is_removed only.")
        return self


class SubscriptionChange(Input):
    """Without `when`, `at` and `settlement` the billing settings decide, by what changes."""

    items: Annotated[list[ItemChangeInput], Field(min_length=1, max_length=ITEMS_MAX)]
    when: When | None = None
    at: Annotated[c.Instant | None, Field(description="A moment to change at.")] = None
    settlement: Annotated[
        Settlement | None, Field(description="How a change inside a period is paid.")
    ] = None
    release: Annotated[
        Flag, Field(description="Release it from the phases of a schedule that are to come.")
    ] = False

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        _check_moment(self.when, self.at)
        return self

    def command(self, subscription_id: UUID, version: int | None) -> ChangeSubscription:
        items = tuple(ChangedItem(**dict(item)) for item in self.items)
        when = self.at or self.when
        return ChangeSubscription(
            subscription_id, items, when, self.settlement, version, self.release
        )


class SubscriptionPause(Input):
    when: When = When.NOW
    invoices: Annotated[
        PausedInvoices, Field(description="What happens at boundaries while it is paused.")
    ] = PausedInvoices.NONE
    resumes_at: c.Instant | None = None
    unused: Annotated[
        PauseUnused | None, Field(description="What becomes of the rest of a paid period.")
    ] = None

    @model_validator(mode="after")
    def _credit_of_what_stops(self) -> Self:
        stops_now = self.invoices is PausedInvoices.NONE and self.when is When.NOW
        if self.unused is PauseUnused.CREDIT and not stops_now:
            raise ValueError("Only a pause from now on, without invoices, gives something back.")
        return self


def _check_moment(when: When | None, at: datetime | None) -> None:
    if when is not None and at is not None:
        raise ValueError("Say when or at, not both.")


class TrialUpdate(Input):
    trial_end: Annotated[c.Instant | None, Field(description="Absent: now.")] = None


class SubscriptionList(ListOf[Subscription]):
    pass


class SubscriptionsQuery(Created):
    customer_id: c.CustomerRef | None = None
    status: Status | None = None
    external_id: c.ExternalId | None = None
    price_id: c.PriceRef | None = None
    test_clock_id: c.TestClockRef | None = None


@router.post("", operation_id="create_subscription", status_code=201, response_model=Subscription)
async def create_subscription(ask: Asked, body: SubscriptionCreate) -> Response:
    """Create a subscription and collect what is due at once.

    Without a payment that succeeds it stays `incomplete` and expires after 23 hours.
    """
    made = await subscriptions.create(ask.rt, ask.caller, body.command())
    return await ask.present(SUBSCRIPTION, made, 201)


@router.get("", operation_id="list_subscriptions", response_model=SubscriptionList)
async def list_subscriptions(ask: Asked, query: Annotated[SubscriptionsQuery, Query()]) -> Response:
    """List subscriptions, the newest first."""
    return await ask.page(SUBSCRIPTION, query)


@router.get(
    "/{subscription_id}",
    operation_id="get_subscription",
    response_model=Subscription | SubscriptionThen,
)
async def get_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, as_of: c.AsOf = None
) -> Response:
    """Get a subscription; with `as_of` as it was then, in the form that events have it in."""
    if as_of is not None:
        return answer(await history.subscription(ask.rt, ask.caller, subscription_id, as_of))
    return await ask.one(SUBSCRIPTION, subscription_id)


@router.patch("/{subscription_id}", operation_id="update_subscription", response_model=Subscription)
async def update_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionUpdate
) -> Response:
    """Change how a subscription is paid, whether it ends with its period, or its metadata."""
    changes = body.model_dump(exclude_unset=True)
    cmd = UpdateSubscription(subscription_id, changes, ask.expected_version())
    return await ask.present(SUBSCRIPTION, await subscriptions.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{subscription_id}/cancel", operation_id="cancel_subscription", response_model=Subscription
)
async def cancel_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionCancel
) -> Response:
    """Cancel a subscription now, when its period is over, or at a date."""
    cmd = body.command(subscription_id, ask.expected_version())
    return await ask.present(SUBSCRIPTION, await subscriptions.cancel(ask.rt, ask.caller, cmd))


@router.post(
    "/{subscription_id}/change", operation_id="change_subscription", response_model=Subscription
)
async def change_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionChange
) -> Response:
    """Change items, prices or quantities: now, when the period is over, or at a date.

    What was charged for the rest of the period is credited, and the rest charged anew.
    """
    cmd = body.command(subscription_id, ask.expected_version())
    return await ask.present(SUBSCRIPTION, await changes.change(ask.rt, ask.caller, cmd))


@router.delete(
    "/{subscription_id}/scheduled_changes/{scheduled_change_id}",
    operation_id="cancel_scheduled_change",
    response_model=Subscription,
)
async def cancel_scheduled_change(
    ask: Asked, subscription_id: c.SubscriptionRef, scheduled_change_id: c.ScheduledChangeRef
) -> Response:
    """Take back a scheduled change that has not happened yet."""
    done = await changes.unschedule(
        ask.rt, ask.caller, subscription_id, scheduled_change_id, ask.expected_version()
    )
    return await ask.present(SUBSCRIPTION, done)


@router.post(
    "/{subscription_id}/pause", operation_id="pause_subscription", response_model=Subscription
)
async def pause_subscription(
    ask: Asked, subscription_id: c.SubscriptionRef, body: SubscriptionPause
) -> Response:
    """Pause a subscription now, or when its period is over."""
    version = ask.expected_version()
    cmd = PauseSubscription(id=subscription_id, expected_version=version, **dict(body))
    return await ask.present(SUBSCRIPTION, await changes.pause(ask.rt, ask.caller, cmd))


@router.post(
    "/{subscription_id}/resume", operation_id="resume_subscription", response_model=Subscription
)
async def resume_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Let a paused subscription go on, and collect what its pause has held back."""
    version = ask.expected_version()
    done = await changes.resume(ask.rt, ask.caller, subscription_id, version)
    return await ask.present(SUBSCRIPTION, done)


@router.post(
    "/{subscription_id}/billing_anchor",
    operation_id="update_subscription_billing_anchor",
    response_model=Subscription,
)
async def update_subscription_billing_anchor(
    ask: Asked, subscription_id: c.SubscriptionRef, body: BillingAnchorUpdate
) -> Response:
    """Count the periods of a subscription from another instant, which is a boundary from then on.

    The paid period becomes longer up to there, or a new one begins at once.
    """
    cmd = body.command(subscription_id, ask.expected_version())
    return await ask.present(SUBSCRIPTION, await changes.move_anchor(ask.rt, ask.caller, cmd))


@router.post(
    "/{subscription_id}/trial",
    operation_id="update_subscription_trial",
    response_model=Subscription,
)
async def update_subscription_trial(
    ask: Asked, subscription_id: c.SubscriptionRef, body: TrialUpdate
) -> Response:
    """End a trial at another moment, later or now."""
    version = ask.expected_version()
    done = await changes.set_trial_end(ask.rt, ask.caller, subscription_id, body.trial_end, version)
    return await ask.present(SUBSCRIPTION, done)


@router.post(
    "/{subscription_id}/keep", operation_id="keep_subscription", response_model=Subscription
)
async def keep_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Take back a cancellation that has not happened yet."""
    await subscriptions.keep(ask.rt, ask.caller, subscription_id, ask.expected_version())
    return await ask.present(SUBSCRIPTION, subscription_id)


@router.post(
    "/{subscription_id}/unpark", operation_id="unpark_subscription", response_model=Subscription
)
async def unpark_subscription(ask: Asked, subscription_id: c.SubscriptionRef) -> Response:
    """Put a parked subscription back on the clock, once what parked it is mended."""
    await subscriptions.unpark(ask.rt, ask.caller, subscription_id)
    return await ask.present(SUBSCRIPTION, subscription_id)
