"""/v1/merchants: tenants, made by whoever runs the service, with the admin key."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Input, ListOf
from app.api.endpoint import AdminEndpoint, Running
from app.api.objects import Merchant
from app.api.pages import Listing, listing, place_of
from app.api.replay import REPLAYED, check_key
from app.db.base import Row
from app.ids import show
from app.services import merchants
from app.services.lookup import Page
from app.services.merchants import CreateMerchant

router = APIRouter(prefix="/v1/merchants", tags=["merchants"], route_class=AdminEndpoint)
SCOPE = "/v1/merchants"
ADMIN = "admin"


class MerchantCreate(Input):
    name: c.Name
    mode: Literal["test", "live"] = "test"
    default_currency: c.Currency = "USD"
    time_zone: c.TimeZone = "UTC"


class MerchantList(ListOf[Merchant]):
    pass


def _shown(row: Row, secret: str | None = None) -> dict[str, Any]:
    fields = dict(row) | {"id": show("mer", row["id"]), "object": "merchant"}
    return fields | {"secret_key": secret}


@router.post("", operation_id="create_merchant", status_code=201, response_model=Merchant)
async def create_merchant(request: Request, rt: Running, body: MerchantCreate) -> Response:
    """Create a merchant. Its first key is in this answer and nowhere else."""
    key = request.headers.get("idempotency-key")
    if key is not None:
        check_key(key)
    cmd = CreateMerchant(body.name, body.mode, body.default_currency, body.time_zone)
    opened = await merchants.create(rt, cmd, ADMIN, key)
    again = REPLAYED if opened.secret is None else None
    return answer(_shown(opened.merchant, opened.secret), 201, again)


@router.get("", operation_id="list_merchants", response_model=MerchantList)
async def list_merchants(rt: Running, query: Annotated[Listing, Query()]) -> Response:
    """List merchants, the newest first."""
    rows = await merchants.page(rt, place_of(query.cursor, SCOPE, {}), query.limit)
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    page = Page([_shown(row) for row in rows], rows[-1]["id"] if more else None)
    return answer(listing(page, SCOPE, {}))


@router.get("/{merchant_id}", operation_id="get_merchant", response_model=Merchant)
async def get_merchant(rt: Running, merchant_id: c.MerchantRef) -> Response:
    """Get a merchant."""
    return answer(_shown(await merchants.get(rt, merchant_id)))
