"""/v1/plans: what is sold, without what it costs."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool, StrictInt
from starlette.responses import Response

from app.api import common as c
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, CatalogEndpoint
from app.api.objects import Plan
from app.api.pages import Created
from app.db.views import PLAN
from app.services import catalog
from app.services.catalog import CreatePlan, Update

router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=CatalogEndpoint)

Rank = Annotated[
    int,
    Field(strict=True, ge=0, le=32_767, description="Higher is more: decides what is an upgrade."),
]
FeatureName = Annotated[str, Field(min_length=1, max_length=100)]
FeatureValue = StrictBool | StrictInt | Annotated[str, Field(max_length=500)]
Features = Annotated[
    dict[FeatureName, FeatureValue],
    Field(
        max_length=200,
        description="What the plan entitles to: switches, limits, texts.",
        examples=[{"seats": 5, "sso": True}],
    ),
]


class PlanCreate(Input):
    code: c.Code
    name: c.Name
    description: c.Description | None = None
    rank: Rank = 0
    features: Features = Field(default_factory=dict)
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreatePlan:
        return CreatePlan(**dict(self))


class PlanUpdate(Change):
    name: c.Name = ""
    description: c.Description | None = None
    rank: Rank = 0
    features: Annotated[Features, Field(description="Replaces the features as a whole.")] = Field(
        default_factory=dict
    )
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class PlanList(ListOf[Plan]):
    pass


class PlansQuery(Created):
    active: bool | None = None
    code: c.Code | None = None


@router.post("", operation_id="create_plan", status_code=201, response_model=Plan)
async def create_plan(ask: Asked, body: PlanCreate) -> Response:
    """Create a plan."""
    row = await catalog.create_plan(ask.rt, ask.caller, body.command())
    return ask.shown(PLAN, row, 201)


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
    """Change a plan; what it costs is the affair of its prices."""
    cmd = Update(plan_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(PLAN, await catalog.update(ask.rt, ask.caller, PLAN, cmd))
