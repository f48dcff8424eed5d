"""/v1/gateway_accounts: where money is collected."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, Change, Flag, Input, ListOf, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.objects import GatewayAccount
from app.api.pages import Created
from app.db.views import GATEWAY_ACCOUNT
from app.gateways.base import AccountMode, CredentialCheck
from app.ids import show
from app.services import gateway_accounts
from app.services.gateway_accounts import (
    PREVIOUS_SECRET_HOURS_MAX,
    Checked,
    CreateGatewayAccount,
    SetWebhookSecret,
    UpdateGatewayAccount,
)

router = APIRouter(prefix="/v1/gateway_accounts", tags=["gateway_accounts"], route_class=Endpoint)

CREDENTIALS_MAX: Final = 20
CREDENTIAL_CHARS_MAX: Final = 32_000
"""Of one: some are a chain of certificates."""
PREVIOUS_HOURS: Final = 24

FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
GatewayName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$", examples=["stripe", "simulator"])
]
CredentialValue = Annotated[SecretStr, Field(min_length=1, max_length=CREDENTIAL_CHARS_MAX)]
WebhookSecret = Annotated[
    SecretStr,
    Field(
        min_length=8,
        max_length=500,
        description="What the gateway signs its webhooks by, as it shows it.",
        examples=["whsec_…"],
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=100, examples=["Cards, Europe"])]


class GatewayAccountCreate(Input):
    gateway: GatewayName
    name: Annotated[Name | None, Field(description="Absent: the gateway's.")] = None
    mode: Annotated[AccountMode | None, Field(description="No other than the merchant's.")] = None
    credentials: Annotated[
        dict[FieldName, CredentialValue],
        Field(
            max_length=CREDENTIALS_MAX,
            description="By the names that `GET /v1/gateways` lists. Never shown again.",
            examples=[{"secret_key": "sk_test_…"}],
        ),
    ] = Field(default_factory=dict)
    webhook_secret: WebhookSecret | None = None
    make_default: Annotated[
        Flag, Field(description="The first account is the default in any case.")
    ] = False

    def command(self) -> CreateGatewayAccount:
        secret = self.webhook_secret
        return CreateGatewayAccount(
            gateway=self.gateway,
            name=self.name,
            mode=self.mode,
            credentials={n: value.get_secret_value() for n, value in self.credentials.items()},
            webhook_secret=None if secret is None else secret.get_secret_value(),
            make_default=self.make_default,
        )


class GatewayAccountUpdate(Change):
    name: Name | None = None
    credentials: Annotated[
        dict[FieldName, CredentialValue | None],
        Field(
            max_length=CREDENTIALS_MAX,
            description="Those that change; null takes one out. The others stay.",
        ),
    ] = Field(default_factory=dict)


class WebhookSecretPut(Input):
    secret: WebhookSecret
    previous_hours: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=PREVIOUS_SECRET_HOURS_MAX,
            description="For how long the secret before counts too.",
        ),
    ] = PREVIOUS_HOURS


class GatewayAccountCheck(Output):
    object: Literal["gateway_account_check"]
    gateway_account_id: c.GatewayAccountId
    result: Annotated[str, open_enum(*CredentialCheck)]
    checked_at: At


class GatewayAccountList(ListOf[GatewayAccount]):
    pass


class GatewayAccountsQuery(Created):
    gateway: Annotated[str, Field(max_length=40)] | None = None
    is_default: bool | None = None


@router.post(
    "", operation_id="create_gateway_account", status_code=201, response_model=GatewayAccount
)
async def create_gateway_account(ask: Asked, body: GatewayAccountCreate) -> Response:
    """Open an account at a gateway, in the merchant's own mode. Nothing is asked of the gateway."""
    row = await gateway_accounts.create(ask.rt, ask.caller, body.command())
    return ask.shown(GATEWAY_ACCOUNT, row, 201)


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


@router.patch(
    "/{gateway_account_id}", operation_id="update_gateway_account", response_model=GatewayAccount
)
async def update_gateway_account(
    ask: Asked, gateway_account_id: c.GatewayAccountRef, body: GatewayAccountUpdate
) -> Response:
    """Rename an account, or change credentials: of the same account at the gateway, since payment
    methods are kept there.
    """
    changes = {
        name: None if value is None else value.get_secret_value()
        for name, value in body.credentials.items()
    }
    cmd = UpdateGatewayAccount(gateway_account_id, body.name, changes, ask.expected_version())
    return ask.shown(GATEWAY_ACCOUNT, await gateway_accounts.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{gateway_account_id}/make_default",
    operation_id="mark_gateway_account_default",
    response_model=GatewayAccount,
)
async def mark_gateway_account_default(
    ask: Asked, gateway_account_id: c.GatewayAccountRef
) -> Response:
    """Let new payment methods belong to this account unless another is named."""
    version = ask.expected_version()
    row = await gateway_accounts.make_default(ask.rt, ask.caller, gateway_account_id, version)
    return ask.shown(GATEWAY_ACCOUNT, row)


@router.post(
    "/{gateway_account_id}/disable",
    operation_id="disable_gateway_account",
    response_model=GatewayAccount,
)
async def disable_gateway_account(ask: Asked, gateway_account_id: c.GatewayAccountRef) -> Response:
    """Charge nothing there any more: payments on its methods wait for another method. What is
    under way is still looked up, refunds still go there, webhooks are still heard.
    """
    version = ask.expected_version()
    row = await gateway_accounts.disable(ask.rt, ask.caller, gateway_account_id, version)
    return ask.shown(GATEWAY_ACCOUNT, row)


@router.post(
    "/{gateway_account_id}/enable",
    operation_id="enable_gateway_account",
    response_model=GatewayAccount,
)
async def enable_gateway_account(ask: Asked, gateway_account_id: c.GatewayAccountRef) -> Response:
    """Charge there again."""
    version = ask.expected_version()
    row = await gateway_accounts.enable(ask.rt, ask.caller, gateway_account_id, version)
    return ask.shown(GATEWAY_ACCOUNT, row)


@router.put(
    "/{gateway_account_id}/webhook_secret",
    operation_id="update_gateway_account_webhook_secret",
    response_model=GatewayAccount,
)
async def update_gateway_account_webhook_secret(
    ask: Asked, gateway_account_id: c.GatewayAccountRef, body: WebhookSecretPut
) -> Response:
    """Set what the gateway's webhooks are verified by; the secret before counts for a while."""
    cmd = SetWebhookSecret(
        gateway_account_id,
        body.secret.get_secret_value(),
        body.previous_hours,
        ask.expected_version(),
    )
    row = await gateway_accounts.set_webhook_secret(ask.rt, ask.caller, cmd)
    return ask.shown(GATEWAY_ACCOUNT, row)


@router.post(
    "/{gateway_account_id}/check",
    operation_id="check_gateway_account",
    response_model=GatewayAccountCheck,
)
async def check_gateway_account(ask: Asked, gateway_account_id: c.GatewayAccountRef) -> Response:
    """Ask the gateway whether it accepts the account's credentials."""
    return answer(_checked(await gateway_accounts.check(ask.rt, ask.caller, gateway_account_id)))


def _checked(found: Checked) -> dict[str, Any]:
    return {
        "object": "gateway_account_check",
        "gateway_account_id": show("gwa", found.account_id),
        "result": found.result,
        "checked_at": found.at,
    }
