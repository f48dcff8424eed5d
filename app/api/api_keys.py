"""/v1/api_keys: made once, shown once, revoked for good."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import secret_answer
from app.api.common import Input, ListOf
from app.api.endpoint import Asked, Endpoint
from app.api.objects import ApiKey
from app.api.pages import Created
from app.db.views import API_KEY
from app.services import api_keys
from app.services.api_keys import SCOPES, CreateKey
from app.services.public import shown

router = APIRouter(prefix="/v1/api_keys", tags=["api_keys"], route_class=Endpoint)

Kind = Literal["secret", "publishable"]


def _scope(text: str) -> str:
    if text not in SCOPES:
        raise ValueError("There is no such scope: take read, write, or a noun's, customers:read.")
    return text


Scope = Annotated[str, AfterValidator(_scope), Field(max_length=60, examples=["customers:read"])]


class ApiKeyCreate(Input):
    """A key may do no more than the one that makes it."""

    kind: Kind = "secret"
    name: c.Name | None = None
    scopes: Annotated[
        list[Scope],
        Field(max_length=len(SCOPES), description="None: everything. Writing includes reading."),
    ] = Field(default_factory=list)
    expires_at: c.Instant | None = None


class ApiKeyList(ListOf[ApiKey]):
    pass


class ApiKeysQuery(Created):
    kind: Kind | None = None


@router.post("", operation_id="create_api_key", status_code=201, response_model=ApiKey)
async def create_api_key(ask: Asked, body: ApiKeyCreate) -> Response:
    """Create a key. Its `secret` is in this answer and nowhere else, also not in a replay."""
    cmd = CreateKey(body.kind, body.name, tuple(body.scopes), body.expires_at)
    row, secret = await api_keys.create(ask.rt, ask.caller, cmd)
    return secret_answer(shown(API_KEY, row) | {"secret": secret}, 201)


@router.get("", operation_id="list_api_keys", response_model=ApiKeyList)
async def list_api_keys(ask: Asked, query: Annotated[ApiKeysQuery, Query()]) -> Response:
    """List keys, the newest first."""
    return await ask.page(API_KEY, query)


@router.get("/{api_key_id}", operation_id="get_api_key", response_model=ApiKey)
async def get_api_key(ask: Asked, api_key_id: c.ApiKeyRef) -> Response:
    """Get a key, without its secret."""
    return await ask.one(API_KEY, api_key_id)


@router.post("/{api_key_id}/revoke", operation_id="revoke_api_key", response_model=ApiKey)
async def revoke_api_key(ask: Asked, api_key_id: c.ApiKeyRef) -> Response:
    """Revoke a key: it stops working at once here, within five seconds everywhere."""
    row = await api_keys.revoke(ask.rt, ask.ring, ask.caller, api_key_id)
    return ask.shown(API_KEY, row)
