"""What callers get of the catalogue: plans, prices, features, and what they entitle to."""

from typing import Annotated, Literal

from pydantic import Field

from app.api import common as c
from app.api.common import At, Documents, Expanded, MinorUnits, Output, Version, open_enum

FeatureType = Annotated[str, open_enum("boolean", "limit", "config")]
FeatureReset = Annotated[str, open_enum("never", "period")]
FeatureValue = Annotated[
    bool | int | str,
    Field(
        description="On or off; a limit, or `unlimited`; or a text: by the feature's type.",
        examples=[5],
    ),
]
FeatureUnit = Annotated[str | None, Field(examples=["seat"])]
PerUnit = Annotated[
    bool, Field(description="Whether the limit counts once for each of an item's quantity.")
]


class Feature(Output):
    id: c.FeatureId
    object: Literal["feature"]
    key: c.Code
    name: str
    description: str | None
    type: FeatureType
    unit: FeatureUnit
    per_unit: PerUnit
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class PlanFeature(Output):
    """What a plan gives of a feature."""

    feature_id: c.FeatureId
    key: c.Code
    name: str
    type: FeatureType
    unit: FeatureUnit
    per_unit: PerUnit
    value: FeatureValue
    reset: FeatureReset


class EntitlementSource(Output):
    subscription_id: c.SubscriptionId
    plan_id: c.PlanId
    quantity: int
    value: FeatureValue


class Entitlement(Output):
    """What may be used of a feature, all in all, and where it comes from."""

    object: Literal["entitlement"]
    feature_id: c.FeatureId
    key: c.Code
    name: str
    type: FeatureType
    unit: FeatureUnit
    value: FeatureValue
    reset: FeatureReset
    sources: list[EntitlementSource]


class Plan(Output):
    id: c.PlanId
    object: Literal["plan"]
    code: c.Code
    name: str
    description: str | None
    kind: Annotated[str, open_enum("plan", "addon")]
    addon_for: Annotated[
        list[c.PlanId], Field(description="The plans an add-on goes with; none: all.")
    ]
    family: Annotated[str | None, Field(description="Plans of one family share their trials.")]
    rank: Annotated[int, Field(description="Higher is more: decides what is an upgrade.")]
    tax_code: str | None
    public: Annotated[bool, Field(description="Whether the public catalogue shows it.")]
    features: list[PlanFeature]
    billing_settings: Annotated[
        dict[str, bool | int | str], Field(examples=[{"upgrade": "period_end"}])
    ]
    metadata: Documents
    active: bool
    created_at: At
    version: Version


class Tier(Output):
    up_to: Annotated[int | None, Field(description="Inclusive; null: no end.", examples=[100])]
    unit_amount_decimal: c.UnitAmount
    flat_amount: MinorUnits


class Price(Output):
    id: c.PriceId
    object: Literal["price"]
    plan_id: c.PlanId
    plan: Plan | None = Expanded
    price_version: int
    lookup_key: str | None
    nickname: str | None
    currency: c.Currency
    type: Annotated[str, open_enum("recurring", "one_time")]
    interval: Annotated[str | None, open_enum("day", "week", "month", "year")]
    interval_count: int | None
    model: Annotated[
        str,
        open_enum("flat", "per_unit", "graduated", "volume", "package", "stairstep", "percentage"),
    ]
    unit_amount_decimal: c.UnitAmount | None
    tiers: list[Tier]
    package_size: int | None
    percentage: c.Percentage | None
    event_amount: Annotated[MinorUnits, Field(description="Due for each event.")]
    free_events: int
    free_amount: MinorUnits
    timing: Annotated[str, open_enum("advance", "arrears")]
    usage_type: Annotated[str, open_enum("licensed", "metered")]
    meter_id: c.MeterId | None
    min_quantity: int
    max_quantity: int | None
    countries: Annotated[list[c.Country], Field(description="Where it is offered; none: all.")]
    tax_behaviour: Annotated[str, open_enum("exclusive", "inclusive")]
    setup_fee: MinorUnits
    trial_days: int
    trial_amount: Annotated[MinorUnits, Field(description="Due when the trial starts.")]
    trial_requires_payment_method: bool
    trial_end_without_payment_method: Annotated[
        str | None, open_enum("cancel", "pause", "create_invoice")
    ]
    metadata: Documents
    active: Annotated[bool, Field(description="Whether it can be subscribed to anew.")]
    created_at: At
    version: Version
