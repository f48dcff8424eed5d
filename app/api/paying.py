"""/v1/pay/{token}: an invoice for whoever holds its payment link, as JSON for a storefront's page.

No key: the token proves it, opens this one invoice, and says nothing else of the merchant's.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Path
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import body as bodies
from app.api import common as c
from app.api import problems
from app.api.answers import answer, secret_answer
from app.api.auth import Access
from app.api.common import At, Input, MinorUnits, Output, open_enum
from app.api.endpoint import ANY_ORIGIN, Endpoint, Running
from app.api.setup_sessions import PARAMETERS_MAX, PREFLIGHT_SECONDS, Parameters, Url
from app.domain import invoice, payment, setup_session
from app.domain.errors import BillingError
from app.domain.vault import MethodType, SetupFlow
from app.ids import show
from app.services import documents, paying
from app.services.paying import Paper
from app.services.payment_actions import Action
from app.services.setup_sessions import Opened

PATH: Final = "/v1/pay"
PRIVATE: Final = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
"""The address is a secret: it is told to nobody."""


class LinkEndpoint(Endpoint):
    """A route for whoever holds a payment link, from a page of any origin."""

    access: ClassVar[Access] = Access.LINK
    access_reading: ClassVar[Access] = Access.LINK

    @property
    def reads_one(self) -> bool:
        """Never: a token is no identifier."""
        return False

    def get_route_handler(self) -> Callable[[Request], Any]:
        respond = APIRoute.get_route_handler(self)

        async def handle(request: Request) -> Response:
            try:
                response = await respond(await bodies.read(request, public=True))
            except BillingError as error:
                response = await problems.billing_error(request, error)
            except RequestValidationError as error:
                response = await problems.validation_error(request, error)
            response.headers.update(ANY_ORIGIN | PRIVATE)
            return response

        return handle


router = APIRouter(prefix=PATH, tags=["payments"], route_class=LinkEndpoint)
Token = Annotated[
    str, Path(max_length=128, description="What the link's address ends in.", examples=["pl_…"])
]


class PageLine(Output):
    description: str
    quantity: int
    amount: MinorUnits
    discount_amount: MinorUnits
    period_start: At | None
    period_end: At | None


class PagePayment(Output):
    status: Annotated[str, open_enum("requires_action", *payment.Status)]
    amount: MinorUnits
    action_url: Annotated[str | None, Field(description="Where the customer confirms it.")]
    failure_code: Annotated[str | None, Field(examples=["insufficient_funds"])]


class PageMethod(Output):
    payment_method_id: c.PaymentMethodId
    type: Annotated[str, open_enum(*MethodType)]
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None
    is_default: bool


class PageGateway(Output):
    gateway_account_id: c.GatewayAccountId
    gateway: Annotated[str, open_enum("simulator", "stripe", "paypal", "razorpay", "authorizenet")]
    name: str
    is_default: bool
    flow: Annotated[str, open_enum(*SetupFlow)]


class PageTransfer(Output):
    account_holder: str | None
    iban: str
    bic: str | None
    reference: Annotated[str | None, Field(description="The invoice's number.")]


class PaymentPage(Output):
    object: Literal["payment_page"]
    status: Annotated[str, open_enum(*invoice.Status), Field(description="Of the invoice.")]
    is_payable: Annotated[
        bool, Field(description="It is owed, and no payment is under way: it can be paid now.")
    ]
    number: str | None
    currency: c.Currency
    total: MinorUnits
    amount_due: MinorUnits
    amount_paid: MinorUnits
    amount_credited: MinorUnits
    amount_remaining: MinorUnits
    issued_at: At
    due_at: At
    paid_at: At | None
    seller: str
    buyer: str
    lines: list[PageLine]
    payment: Annotated[PagePayment | None, Field(description="The one under way, else the latest.")]
    payment_methods: Annotated[
        list[PageMethod], Field(description="What the customer has kept; none once it is paid.")
    ]
    gateways: Annotated[
        list[PageGateway], Field(description="Where a new method can be kept, and in which way.")
    ]
    transfer: PageTransfer | None
    return_url: str | None
    expires_at: Annotated[At, Field(description="Until when the link works.")]


class PagePay(Input):
    payment_method_id: c.PaymentMethodRef


class PageSetup(Input):
    gateway_account_id: Annotated[
        c.GatewayAccountRef | None, Field(description="Absent: the default account.")
    ] = None
    return_url: Annotated[
        Url | None, Field(description="Where the gateway sends the customer; absent: the link's.")
    ] = None
    parameters: Annotated[
        Parameters,
        Field(max_length=PARAMETERS_MAX, description="What only that gateway asks."),
    ] = Field(default_factory=dict)


class PageComplete(Input):
    parameters: Annotated[
        Parameters,
        Field(max_length=PARAMETERS_MAX, description="What the gateway's script gave the page."),
    ] = Field(default_factory=dict)


class PageAction(Output):
    object: Literal["payment_page_action"]
    status: Annotated[str, open_enum(*payment.Status), Field(description="Of the payment.")]
    action_url: Annotated[str | None, Field(description="Where the customer confirms it.")]
    client_secret: Annotated[
        str | None, Field(description="What the gateway's script confirms with, if it asks.")
    ]


class PageSetupHandover(Output):
    object: Literal["payment_page_setup"]
    status: Annotated[str, open_enum(*setup_session.Status)]
    flow: Annotated[str, open_enum(*SetupFlow)] | None
    client_secret: str | None
    redirect_url: str | None
    parameters: dict[str, str]
    expires_at: At


class PageSetupResult(Output):
    object: Literal["payment_page_setup_result"]
    status: Annotated[str, open_enum(*setup_session.Status), Field(description="Of the set-up.")]
    failure_code: str | None
    payment: Annotated[
        PageAction | None, Field(description="What the kept method was charged for, if it was.")
    ]


@router.get("/{token}", operation_id="get_payment_page", response_model=PaymentPage)
async def get_payment_page(request: Request, rt: Running, token: Token) -> Response:
    """What the invoice comes to, how its payment stands, and with what it can be paid. 404
    `payment_link_expired` or `payment_link_revoked` where the link has ended.
    """
    held = await paying.hold(rt, token, request.scope["request_id"])
    return answer(_shown(await paying.look(rt, held)), tagged=False)


@router.get(
    "/{token}/pdf",
    operation_id="get_payment_page_pdf",
    responses={
        200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
    },
    response_class=Response,
)
async def get_payment_page_pdf(request: Request, rt: Running, token: Token) -> Response:
    """The invoice as PDF."""
    held = await paying.hold(rt, token, request.scope["request_id"])
    paper = await paying.look(rt, held)
    pdf = await documents.as_pdf(paper.document)
    name = f"inline; filename={paper.invoice['number'] or 'invoice'}.pdf"
    headers = {"Content-Disposition": name} if name.isascii() else {}
    return Response(pdf, 200, headers, "application/pdf")


@router.get("/{token}/action", operation_id="get_payment_page_action", response_model=PageAction)
async def get_payment_page_action(request: Request, rt: Running, token: Token) -> Response:
    """What is left for the customer to do for the payment under way, as the gateway says now."""
    held = await paying.hold(rt, token, request.scope["request_id"])
    return secret_answer(_action(await paying.act(rt, held)), 200)


@router.post("/{token}/pay", operation_id="pay_payment_page", response_model=PageAction)
async def pay_payment_page(request: Request, rt: Running, token: Token, body: PagePay) -> Response:
    """Charge all that remains to a method that is kept. 409 while a payment is under way."""
    held = await paying.hold(rt, token, request.scope["request_id"])
    return secret_answer(_action(await paying.pay(rt, held, body.payment_method_id)), 200)


@router.post(
    "/{token}/setup", operation_id="open_payment_page_setup", response_model=PageSetupHandover
)
async def open_payment_page_setup(
    request: Request, rt: Running, token: Token, body: PageSetup
) -> Response:
    """Begin to keep a new payment method, which `complete` then pays with."""
    held = await paying.hold(rt, token, request.scope["request_id"])
    opened = await paying.set_up(
        rt, held, body.gateway_account_id, body.return_url, body.parameters
    )
    return secret_answer(_handover(opened), 200)


@router.post(
    "/{token}/complete", operation_id="complete_payment_page_setup", response_model=PageSetupResult
)
async def complete_payment_page_setup(
    request: Request, rt: Running, token: Token, body: PageComplete
) -> Response:
    """Say that the customer has done their part of the set-up; once the method is kept, the invoice
    is paid with it. May come again until then.
    """
    held = await paying.hold(rt, token, request.scope["request_id"])
    session, action = await paying.complete(rt, held, body.parameters)
    result = {
        "object": "payment_page_setup_result",
        "status": session.status,
        "failure_code": session.failure_code,
        "payment": None if action is None else _action(action),
    }
    return secret_answer(result, 200)


def _shown(paper: Paper) -> dict[str, Any]:
    """What a page shows: the same to whoever holds the link."""
    row, document = paper.invoice, paper.document
    figures = {
        name: row[name]
        for name in (
            *("status", "number", "currency", "total", "amount_due", "amount_paid"),
            *("amount_credited", "amount_remaining", "due_at", "paid_at"),
        )
    }
    return figures | {
        "object": "payment_page",
        "is_payable": paper.is_payable,
        "issued_at": row["finalized_at"],
        "seller": document.seller.name,
        "buyer": document.buyer.name,
        "lines": [
            {
                "description": line.description,
                "quantity": line.quantity,
                "amount": line.amount,
                "discount_amount": line.discount_amount,
                "period_start": None if line.period is None else line.period.start,
                "period_end": None if line.period is None else line.period.end,
            }
            for line in document.lines
        ],
        "payment": _payment(paper),
        "payment_methods": [
            {"payment_method_id": show("pm", method["id"])}
            | {name: method[name] for name in ("type", "brand", "last_four")}
            | {name: method[name] for name in ("expiry_month", "expiry_year")}
            | {"is_default": bool(method["is_default"])}
            for method in paper.methods
        ],
        "gateways": [
            {
                "gateway_account_id": show("gwa", account.id),
                "gateway": account.gateway,
                "name": account.name,
                "is_default": account.is_default,
                "flow": account.flow,
            }
            for account in paper.accounts
        ],
        "transfer": _transfer(paper),
        "return_url": paper.link["return_url"],
        "expires_at": paper.link["expires_at"],
    }


def _payment(paper: Paper) -> dict[str, Any] | None:
    if paper.payment is None:
        return None
    return {
        name: paper.payment[name] for name in ("status", "amount", "action_url", "failure_code")
    }


def _transfer(paper: Paper) -> dict[str, Any] | None:
    bank = paper.document.bank
    if bank is None or not paper.is_payable:
        return None
    return {
        "account_holder": bank.holder or paper.document.seller.name,
        "iban": bank.iban,
        "bic": bank.bic,
        "reference": paper.invoice["number"],
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "object": "payment_page_action",
        "status": action.status,
        "action_url": action.action_url,
        "client_secret": action.client_secret,
    }


def _handover(opened: Opened) -> dict[str, Any]:
    given = opened.handover
    return {
        "object": "payment_page_setup",
        "status": opened.session["status"],
        "flow": opened.session["flow"],
        "client_secret": given.client_secret,
        "redirect_url": given.redirect_url,
        "parameters": given.parameters or {},
        "expires_at": opened.session["expires_at"],
    }


async def _preflight(_: Request) -> Response:
    """What browsers ask before they send JSON from a page of another origin."""
    headers = ANY_ORIGIN | {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(None, 204, headers)


for _path in ("", "/pay", "/setup", "/complete", "/action", "/pdf"):
    router.add_route(
        f"{PATH}/{{token}}{_path}", _preflight, methods=["OPTIONS"], include_in_schema=False
    )
