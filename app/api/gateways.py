"""/v1/gateways: which gateways there are, and what an account at each needs."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api.answers import answer
from app.api.common import Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.domain.vault import SetupFlow
from app.gateways.base import CredentialField
from app.gateways.capabilities import Capabilities, News
from app.services import gateways
from app.services.gateways import Offered

router = APIRouter(prefix="/v1/gateways", tags=["gateway_accounts"], route_class=Endpoint)


class GatewayField(Output):
    name: Annotated[str, Field(examples=["secret_key"])]
    description: str
    is_secret: bool
    is_required: bool
    pattern: Annotated[str | None, Field(description="What the whole value matches.")]
    test_prefixes: list[str]
    live_prefixes: list[str]


class GatewayCapabilities(Output):
    setup_flow: Annotated[str, open_enum(*SetupFlow)]
    currencies: Annotated[list[str] | None, Field(description="Null: any.")]
    manual_capture: bool
    partial_refund: bool
    multiple_refunds: bool
    lead_time_seconds: Annotated[
        int, Field(description="How long before it is due a charge is submitted.")
    ]
    disputes: Annotated[str, open_enum(*News)]
    method_updates: Annotated[str, open_enum(*News)]
    moves_real_money: bool


class Gateway(Output):
    object: Literal["gateway"]
    name: Annotated[str, Field(examples=["stripe"])]
    fields: Annotated[list[GatewayField], Field(description="What an account needs.")]
    capabilities: GatewayCapabilities


class GatewayList(Output):
    object: Literal["list"]
    data: list[Gateway]


@router.get("", operation_id="list_gateways", response_model=GatewayList)
async def list_gateways(ask: Asked) -> Response:
    """List the gateways that this merchant can open accounts at, by name."""
    data = [_gateway(each) for each in gateways.offered(ask.caller)]
    return answer({"object": "list", "data": data})


def _gateway(offered: Offered) -> dict[str, Any]:
    return {
        "object": "gateway",
        "name": offered.name,
        "fields": [_field(each) for each in offered.factory.fields],
        "capabilities": _capabilities(offered.factory.capabilities),
    }


def _field(field: CredentialField) -> dict[str, Any]:
    return {
        "name": field.name,
        "description": field.description,
        "is_secret": field.is_secret,
        "is_required": field.is_required,
        "pattern": field.pattern,
        "test_prefixes": field.test_prefixes,
        "live_prefixes": field.live_prefixes,
    }


def _capabilities(found: Capabilities) -> dict[str, Any]:
    return {
        "setup_flow": found.setup_flow,
        "currencies": None if found.currencies is None else sorted(found.currencies),
        "manual_capture": found.manual_capture,
        "partial_refund": found.partial_refund,
        "multiple_refunds": found.multiple_refunds,
        "lead_time_seconds": found.requires_lead_time_seconds,
        "disputes": found.disputes,
        "method_updates": found.method_updates,
        "moves_real_money": found.moves_real_money,
    }
