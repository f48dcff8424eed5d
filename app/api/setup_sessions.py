"""/v1/setup_sessions: how a customer's payment method comes to be kept at a gateway."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer, secret_answer
from app.api.auth import Access
from app.api.common import At, Documents, Expanded, Flag, Input, ListOf, Output, Version, open_enum
from app.api.endpoint import ANY_ORIGIN, Asked, BrowserEndpoint, Endpoint
from app.api.objects import Customer, GatewayAccount, PaymentMethod
from app.api.pages import Created
from app.db.views import SETUP_SESSION
from app.domain.outcome import DeclineCategory
from app.domain.setup_session import Session, Status
from app.domain.vault import SetupFlow
from app.ids import show
from app.services import setup_sessions
from app.services.public import shown
from app.services.setup_sessions import CreateSetupSession, Opened


class StorefrontEndpoint(BrowserEndpoint):
    """A route that a shop's page may call too, with a publishable key and a client token."""

    access = Access.PUBLISHABLE


PATH: Final = "/v1/setup_sessions"
PREFLIGHT_SECONDS: Final = 86_400
PARAMETERS_MAX: Final = 20
router = APIRouter(prefix=PATH, tags=["payment_methods"], route_class=Endpoint)
storefront = APIRouter(prefix=PATH, tags=["payment_methods"], route_class=StorefrontEndpoint)

Url = Annotated[
    str,
    Field(
        max_length=2_000,
        pattern=r"^https?://[\x21-\x7e]+$",
        examples=["https://shop.example.com/account/cards"],
    ),
]
Parameters = dict[
    Annotated[str, Field(min_length=1, max_length=100)], Annotated[str, Field(max_length=4_000)]
]
ClientToken = Annotated[
    str,
    Field(
        max_length=100,
        pattern=r"^ct_[\w-]+$",
        description="Of the session; with a publishable key it must be there.",
        examples=["ct_…"],
    ),
]


class SetupSessionCreate(Input):
    customer_id: c.CustomerRef
    gateway_account_id: Annotated[
        c.GatewayAccountRef | None, Field(description="Absent: the default account.")
    ] = None
    return_url: Annotated[
        Url | None, Field(description="Where a page of the gateway's sends the customer.")
    ] = None
    cancel_url: Url | None = None
    currency: Annotated[
        c.Currency | None, Field(description="For gateways whose mandates name one.")
    ] = None
    amount_max: Annotated[
        c.PositiveAmount | None, Field(description="The most that one charge of a mandate may be.")
    ] = None
    mandate_expires_at: Annotated[
        c.Instant | None, Field(description="Until when a mandate lasts.")
    ] = None
    description: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    phone: Annotated[
        str | None,
        Field(
            max_length=20,
            pattern=r"^\+?[0-9][0-9 ()-]{4,18}$",
            description="The customer's, for gateways that ask for it. Not kept here.",
            examples=["+49 30 901820"],
        ),
    ] = None
    parameters: Annotated[
        Parameters,
        Field(
            max_length=PARAMETERS_MAX,
            description="What else this gateway's set-up may be told, in its own words: its page "
            "in the documentation names them. Not kept here.",
            examples=[{"payment_source": "card"}],
        ),
    ] = Field(default_factory=dict)
    make_default: Annotated[
        Flag, Field(description="Pay the customer's invoices with it from then on.")
    ] = False
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateSetupSession:
        return CreateSetupSession(**dict(self))


class SetupSessionOpen(Input):
    client_token: ClientToken | None = None


class SetupSessionComplete(Input):
    client_token: ClientToken | None = None
    parameters: Annotated[
        Parameters,
        Field(
            max_length=PARAMETERS_MAX,
            description="What the gateway's script gave the page; none: just ask how it stands.",
            examples=[{"dataDescriptor": "COMMON.ACCEPT.INAPP.PAYMENT", "dataValue": "…"}],
        ),
    ] = Field(default_factory=dict)


class SetupSession(Output):
    id: c.SetupSessionId
    object: Literal["setup_session"]
    customer_id: c.CustomerId
    customer: Customer | None = Expanded
    gateway_account_id: c.GatewayAccountId
    gateway_account: GatewayAccount | None = Expanded
    status: Annotated[
        str,
        open_enum(*Status),
        Field(description="starting: the gateway has not answered yet. open: the customer's turn."),
    ]
    flow: Annotated[str, open_enum(*SetupFlow)] | None
    return_url: str | None
    cancel_url: str | None
    currency: str | None
    amount_max: int | None
    mandate_expires_at: At | None
    description: str | None
    make_default: bool
    payment_method_id: c.PaymentMethodId | None
    payment_method: PaymentMethod | None = Expanded
    failure_code: str | None
    failure_category: Annotated[str, open_enum(*DeclineCategory)] | None
    metadata: Documents
    created_at: At
    expires_at: At
    ended_at: At | None
    version: Version


class Handed(Output):
    """What the page needs for the customer's part; nothing in it is secret to the customer."""

    client_secret: Annotated[str | None, Field(description="For the gateway's script.")]
    redirect_url: Annotated[str | None, Field(description="Where the customer goes on.")]
    parameters: Annotated[
        dict[str, str], Field(description="For the gateway's script, as they are.")
    ]


class NewSetupSession(SetupSession, Handed):
    client_token: Annotated[
        str,
        Field(description="Shown this once. With a publishable key it opens this session alone."),
    ]


class SetupSessionHandover(Handed):
    object: Literal["setup_session_handover"]
    setup_session_id: c.SetupSessionId
    status: Annotated[str, open_enum(*Status)]
    flow: Annotated[str, open_enum(*SetupFlow)] | None
    expires_at: At


class SetupSessionResult(Output):
    object: Literal["setup_session_result"]
    setup_session_id: c.SetupSessionId
    status: Annotated[str, open_enum(*Status)]
    failure_code: str | None
    payment_method_id: c.PaymentMethodId | None


class SetupSessionList(ListOf[SetupSession]):
    pass


class SetupSessionsQuery(Created):
    customer_id: c.CustomerRef | None = None
    status: Status | None = None


@router.post(
    "", operation_id="create_setup_session", status_code=201, response_model=NewSetupSession
)
async def create_setup_session(ask: Asked, body: SetupSessionCreate) -> Response:
    """Begin to keep a payment method of a customer. What the page needs is in this answer, and
    later at `open`; a replay has the session alone.
    """
    opened = await setup_sessions.create(ask.rt, ask.caller, body.command())
    public = shown(SETUP_SESSION, opened.session)
    return secret_answer(public | _handed(opened) | {"client_token": opened.client_token}, 201)


@router.get("", operation_id="list_setup_sessions", response_model=SetupSessionList)
async def list_setup_sessions(
    ask: Asked, query: Annotated[SetupSessionsQuery, Query()]
) -> Response:
    """List set-up sessions, the newest first."""
    return await ask.page(SETUP_SESSION, query)


@router.get("/{setup_session_id}", operation_id="get_setup_session", response_model=SetupSession)
async def get_setup_session(ask: Asked, setup_session_id: c.SetupSessionRef) -> Response:
    """Get a set-up session."""
    return await ask.one(SETUP_SESSION, setup_session_id)


@storefront.post(
    "/{setup_session_id}/open",
    operation_id="open_setup_session",
    response_model=SetupSessionHandover,
)
async def open_setup_session(
    ask: Asked, setup_session_id: c.SetupSessionRef, body: SetupSessionOpen
) -> Response:
    """What the page needs for the customer's part. From a page: a publishable key, and the
    session's client token.
    """
    opened = await setup_sessions.open_again(
        ask.rt, ask.caller, setup_session_id, body.client_token
    )
    public = shown(SETUP_SESSION, opened.session)
    about = {name: public[name] for name in ("status", "flow", "expires_at")}
    whose = {"object": "setup_session_handover", "setup_session_id": public["id"]}
    return secret_answer(whose | about | _handed(opened), 200)


@storefront.post(
    "/{setup_session_id}/complete",
    operation_id="complete_setup_session",
    response_model=SetupSessionResult,
)
async def complete_setup_session(
    ask: Asked, setup_session_id: c.SetupSessionRef, body: SetupSessionComplete
) -> Response:
    """Say that the customer has done their part, with what the gateway's script gave the page; or
    just ask. From a page: a publishable key, and the session's client token. May come again.
    """
    session = await setup_sessions.complete(
        ask.rt, ask.caller, setup_session_id, body.client_token, body.parameters
    )
    return answer(_result(session))


def _handed(opened: Opened) -> dict[str, Any]:
    given = opened.handover
    return {
        "client_secret": given.client_secret,
        "redirect_url": given.redirect_url,
        "parameters": given.parameters or {},
    }


def _result(session: Session) -> dict[str, Any]:
    method = session.payment_method_id
    return {
        "object": "setup_session_result",
        "setup_session_id": show("setup", session.id),
        "status": session.status,
        "failure_code": session.failure_code,
        "payment_method_id": None if method is None else show("pm", method),
    }


async def _preflight(_: Request) -> Response:
    """What browsers ask before they send a key from a page of another origin."""
    headers = ANY_ORIGIN | {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(None, 204, headers)


for _verb in ("open", "complete"):
    storefront.add_route(
        f"{PATH}/{{setup_session_id}}/{_verb}",
        _preflight,
        methods=["OPTIONS"],
        include_in_schema=False,
    )
