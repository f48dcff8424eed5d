"""/v1/features: what plans can give, under the keys that the merchant's own code asks for."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.catalog_objects import Feature
from app.api.common import Change, Flag, Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.db.views import FEATURE
from app.domain.entitlement import FeatureType
from app.services import features
from app.services.features import CreateFeature, UpdateFeature

router = APIRouter(prefix="/v1/features", tags=["features"], route_class=Endpoint)

UnitName = Annotated[
    str, Field(min_length=1, max_length=40, description="What is counted.", examples=["seat"])
]


class FeatureCreate(Input):
    key: c.Code
    name: c.Name
    type: FeatureType
    description: c.Description | None = None
    unit: UnitName | None = None
    per_unit: Annotated[
        Flag, Field(description="A limit that counts once for each of an item's quantity.")
    ] = False
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateFeature:
        return CreateFeature(**dict(self))


class FeatureUpdate(Change):
    name: c.Name = ""
    description: c.Description | None = None
    unit: UnitName | None = None
    active: Annotated[Flag, Field(description="Plans that have it keep it either way.")] = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class FeatureList(ListOf[Feature]):
    pass


class FeaturesQuery(Created):
    active: bool | None = None
    key: c.Code | None = None


@router.post("", operation_id="create_feature", status_code=201, response_model=Feature)
async def create_feature(ask: Asked, body: FeatureCreate) -> Response:
    """Create a feature."""
    row = await features.create(ask.rt, ask.caller, body.command())
    return ask.shown(FEATURE, row, 201)


@router.get("", operation_id="list_features", response_model=FeatureList)
async def list_features(ask: Asked, query: Annotated[FeaturesQuery, Query()]) -> Response:
    """List features, the newest first."""
    return await ask.page(FEATURE, query)


@router.get("/{feature_id}", operation_id="get_feature", response_model=Feature)
async def get_feature(ask: Asked, feature_id: c.FeatureRef) -> Response:
    """Get a feature."""
    return await ask.one(FEATURE, feature_id)


@router.patch("/{feature_id}", operation_id="update_feature", response_model=Feature)
async def update_feature(ask: Asked, feature_id: c.FeatureRef, body: FeatureUpdate) -> Response:
    """Rename a feature, or keep it from being given anew; its key and type never change."""
    cmd = UpdateFeature(feature_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(FEATURE, await features.update(ask.rt, ask.caller, cmd))
