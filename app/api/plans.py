"""/v1/plans: what is sold, without what it costs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool, StrictInt, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.catalog_objects import Plan
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.db.views import PLAN
from app.domain.entitlement import TEXT_CHARS_MAX, Reset
from app.domain.pricing import PlanKind
from app.services import plans
from app.services.features import Given
from app.services.plans import CreatePlan, UpdatePlan

router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=Endpoint)

FEATURES_MAX = 200
ADDON_PLANS_MAX = 200

Rank = Annotated[
    int,
    Field(strict=True, ge=0, le=32_767, description="Higher is more: decides what is an upgrade."),
]
Value = Annotated[
    StrictBool | StrictInt | Annotated[str, Field(max_length=TEXT_CHARS_MAX)],
    Field(
        description="On or off, a limit or `unlimited`, or a text: by the feature's type.",
        examples=[5],
    ),
]
Family = Annotated[
    c.Code, Field(description="Plans of one family count as the same where trials are concerned.")
]
TaxCode = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.-]{1,40}$",
        description="What kind of product it is, to those who calculate taxes.",
        examples=["txcd_10103001"],
    ),
]
AddonFor = Annotated[
    list[c.PlanRef],
    Field(max_length=ADDON_PLANS_MAX, description="The plans an add-on goes with; none: all."),
]
SettingName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
SettingValue = StrictBool | StrictInt | Annotated[str, Field(max_length=100)]
BillingSettings = Annotated[
    dict[SettingName, SettingValue],
    Field(
        max_length=100,
        description="What the merchant's billing settings say otherwise for this plan.",
        examples=[{"upgrade": "period_end"}],
    ),
]
Public = Annotated[Flag, Field(description="Whether the public catalogue shows it.")]


class PlanFeatureInput(Input):
    """A feature, by its id or its key, and what the plan gives of it."""

    feature_id: c.FeatureRef | None = None
    key: c.Code | None = None
    value: Value
    reset: Annotated[
        Reset | None, Field(description="When what was used of a limit is forgotten.")
    ] = None

    @model_validator(mode="after")
    def _one_name(self) -> "PlanFeatureInput":
        if (self.feature_id is None) == (self.key is None):
            raise ValueError("Name the feature by feature_id or by key.")
        return self


PlanFeatures = Annotated[list[PlanFeatureInput], Field(max_length=FEATURES_MAX)]


def _given(features: list[PlanFeatureInput]) -> tuple[Given, ...]:
    return tuple(Given(**dict(feature)) for feature in features)


class PlanCreate(Input):
    code: c.Code
    name: c.Name
    description: c.Description | None = None
    kind: PlanKind = PlanKind.PLAN
    addon_for: AddonFor = Field(default_factory=list)
    family: Family | None = None
    rank: Rank = 0
    tax_code: TaxCode | None = None
    public: Public = True
    features: PlanFeatures = Field(default_factory=list)
    billing_settings: BillingSettings = Field(default_factory=dict)
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreatePlan:
        return CreatePlan(**dict(self) | {"features": _given(self.features)})


class PlanUpdate(Change):
    name: c.Name = ""
    description: c.Description | None = None
    addon_for: AddonFor = Field(default_factory=list)
    family: Family | None = None
    rank: Rank = 0
    tax_code: TaxCode | None = None
    public: Public = True
    features: Annotated[PlanFeatures, Field(description="Replaces the features as a whole.")] = (
        Field(default_factory=list)
    )
    billing_settings: Annotated[
        BillingSettings, Field(description="Replaces the settings as a whole.")
    ] = Field(default_factory=dict)
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        if "features" in sent:
            sent["features"] = _given(self.features)
        return sent


class PlanList(ListOf[Plan]):
    pass


class PlansQuery(Created):
    active: bool | None = None
    code: c.Code | None = None
    kind: PlanKind | None = None
    family: c.Code | None = None


@router.post("", operation_id="create_plan", status_code=201, response_model=Plan)
async def create_plan(ask: Asked, body: PlanCreate) -> Response:
    """Create a plan, or an add-on to plans."""
    return ask.shown(PLAN, await plans.create(ask.rt, ask.caller, body.command()), 201)


@router.get("", operation_id="list_plans", response_model=PlanList)
async def list_plans(ask: Asked, query: Annotated[PlansQuery, Query()]) -> Response:
    """List plans, the newest first."""
    return await ask.page(PLAN, query)


@router.get("/{plan_id}", operation_id="get_plan", response_model=Plan)
async def get_plan(ask: Asked, plan_id: c.PlanRef) -> Response:
    """Get a plan."""
    return await ask.one(PLAN, plan_id)


@router.patch("/{plan_id}", operation_id="update_plan", response_model=Plan)
async def update_plan(ask: Asked, plan_id: c.PlanRef, body: PlanUpdate) -> Response:
    """Change a plan; what it costs is the affair of its prices.

    What it entitles to holds for its present subscribers too. Once inactive it is not sold any
    more, and they keep it.
    """
    cmd = UpdatePlan(plan_id, body.changes(), ask.expected_version())
    return ask.shown(PLAN, await plans.update(ask.rt, ask.caller, cmd))
