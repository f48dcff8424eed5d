"""/v1/gateway_accounts: where money is collected."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.common import ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import GatewayAccount
from app.api.pages import Created
from app.db.views import GATEWAY_ACCOUNT

router = APIRouter(prefix="/v1/gateway_accounts", tags=["gateway_accounts"], route_class=Endpoint)


class GatewayAccountList(ListOf[GatewayAccount]):
    pass


class GatewayAccountsQuery(Created):
    gateway: Annotated[str, Field(max_length=40)] | None = None


@router.get("", operation_id="list_gateway_accounts", response_model=GatewayAccountList)
async def list_gateway_accounts(
    ask: Asked, query: Annotated[GatewayAccountsQuery, Query()]
) -> Response:
    """List gateway accounts, the newest first."""
    return await ask.page(GATEWAY_ACCOUNT, query)


@router.get(
    "/{gateway_account_id}", operation_id="get_gateway_account", response_model=GatewayAccount
)
async def get_gateway_account(ask: Asked, gateway_account_id: c.GatewayAccountRef) -> Response:
    """Get a gateway account."""
    return await ask.one(GATEWAY_ACCOUNT, gateway_account_id)
