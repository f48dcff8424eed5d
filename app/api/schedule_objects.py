"""What callers send and get of schedules: phases, their items, and where a subscription stands."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from app.api import common as c
from app.api.common import At, Input, Output, Version, open_enum
from app.api.objects import Subscription
from app.domain.invoice import Collection
from app.domain.phases import CYCLES_MAX, PHASES_MAX, EndBehaviour
from app.domain.policy import Settlement, When
from app.services.enrolment import DISCOUNTS_MAX
from app.services.phasing import WantedPhase

ITEMS_MAX = 20
Quantity = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class ItemInput(Input):
    price_id: c.PriceRef
    quantity: Quantity = 1


class PhaseInput(Input):
    """What the subscription is for a while. What is absent stays as it is.

    It lasts for `cycles`, until `ends_at`, or until the next one's `start_at`; the last may be
    open.
    """

    items: Annotated[
        list[ItemInput],
        Field(min_length=1, max_length=ITEMS_MAX, description="All there is: others go."),
    ]
    when: Annotated[
        When | None,
        Field(description="The first phase of a subscription that runs: now, or at its boundary."),
    ] = None
    start_at: Annotated[
        c.Instant | None, Field(description="Absent: where the phase before ends; at first: now.")
    ] = None
    cycles: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=CYCLES_MAX)] | None,
        Field(description="Full periods; a part of one before them is not counted."),
    ] = None
    ends_at: c.Instant | None = None
    coupon_ids: Annotated[
        Annotated[list[c.CouponRef], Field(max_length=DISCOUNTS_MAX)] | None,
        Field(description="In the place of the discounts there are; empty: none."),
    ] = None
    settlement: Annotated[
        Settlement | None,
        Field(description="Of its start, where that is inside a period. Absent: the settings'."),
    ] = None
    collection_method: Collection | None = None
    net_days: Annotated[int, Field(strict=True, ge=0, le=365)] | None = None

    def wanted(self) -> WantedPhase:
        return WantedPhase(
            items=_items(self.items),
            start=self.start_at or self.when,
            cycles=self.cycles,
            ends_at=self.ends_at,
            coupon_ids=None if self.coupon_ids is None else tuple(self.coupon_ids),
            settlement=self.settlement,
            collection=self.collection_method,
            net_days=self.net_days,
        )


def _items(items: Sequence[ItemInput]) -> tuple[tuple[Any, int], ...]:
    return tuple((item.price_id, item.quantity) for item in items)


def begun_with(phase: PhaseInput) -> dict[str, Any]:
    """What a subscription is created with where `phase` is its first."""
    fields: dict[str, Any] = {"items": phase.items, "coupon_ids": phase.coupon_ids or ()}
    if phase.collection_method is not None:
        fields["collection"] = phase.collection_method
    if phase.net_days is not None:
        fields["net_days"] = phase.net_days
    return fields


class SubscriptionSchedulePut(Input):
    phases: Annotated[list[PhaseInput], Field(min_length=1, max_length=PHASES_MAX)]
    end_behaviour: Annotated[
        EndBehaviour, Field(description="What happens when the last phase is over.")
    ] = EndBehaviour.RELEASE


class PhaseItem(Output):
    price_id: c.PriceId
    quantity: int


class Phase(Output):
    phase: Annotated[int, Field(description="Counted from 1.")]
    start_at: At
    end_at: Annotated[At | None, Field(description="null: it is open.")]
    items: list[PhaseItem]
    cycles: int | None
    coupon_ids: list[c.CouponId] | None
    settlement: Annotated[
        str | None,
        open_enum("invoice_now", "next_invoice", "reset", "reset_without_credit", "none"),
    ]
    collection_method: Annotated[str | None, open_enum("charge_automatically", "send_invoice")]
    net_days: int | None


class SubscriptionSchedule(Output):
    id: c.SubscriptionScheduleId
    object: Literal["subscription_schedule"]
    subscription_id: c.SubscriptionId
    subscription: Subscription | None = c.Expanded
    status: Annotated[str, open_enum("active", "completed", "released", "ended")]
    current_phase: Annotated[
        int | None, Field(description="null before the first, and when it is not in force.")
    ]
    phases: list[Phase]
    end_behaviour: Annotated[str, open_enum("release", "cancel")]
    ends_at: Annotated[At | None, Field(description="When the last phase is over.")]
    created_at: At
    released_at: At | None
    version: Version
