"""/pay/{token}: the page behind a payment link, for people. No script, and nothing from elsewhere.

It offers what needs no script: methods that are kept, a page of the gateway's own, a transfer. What
a gateway's script is needed for is the storefront's, by `/v1/pay/{token}`.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import ids
from app.api.paying import PRIVATE
from app.api.problems import BodyTooLarge
from app.documents import paying as pages
from app.documents import words
from app.documents.html import Page
from app.documents.paying import Choice, Panel
from app.domain.errors import BillingError, Conflict, InvalidRequest, NotFound, RateLimited
from app.domain.payment import Status
from app.domain.vault import SetupFlow
from app.services import paying, payment_links
from app.services.paying import Held, Paper

FORM_BYTES_MAX: Final = 4_096
SEE_OTHER: Final = 303
NOT_FOUND: Final = 404
PROCESSING: Final = frozenset({Status.PROCESSING, Status.UNKNOWN, Status.SCHEDULED})
router = APIRouter()


async def show(request: Request) -> Response:
    """The invoice, and what to do about it."""
    held = await _held(request)
    paper = await paying.look(request.app.state.runtime, held, _language(request))
    return _page(pages.render(paper.document, _panel(request, paper)))


async def pay(request: Request) -> Response:
    """Pay with the method that was chosen, and show what came of it; declined or not."""
    held, chosen = await _held(request), await _field(request, "payment_method_id", "pm")
    with suppress(Conflict, InvalidRequest):  # paid, or under way: the page says how it stands
        await paying.pay(request.app.state.runtime, held, chosen)
    return _back(request)


async def set_up(request: Request) -> Response:
    """Begin at the gateway whose page was chosen, and show the way there."""
    rt, held = request.app.state.runtime, await _held(request)
    chosen = await _field(request, "gateway_account_id", "gwa")
    back = payment_links.address(request.path_params["token"]) + "/kept"
    opened = await paying.set_up(rt, held, chosen, back, {})
    paper = await paying.look(rt, held, _language(request))
    panel = Panel(
        paper.invoice["amount_remaining"],
        said="go_on",
        action_url=opened.handover.redirect_url,
        pdf_url=_pdf(request),
        return_url=_base(request),
    )
    return _page(pages.render(paper.document, panel))


async def kept(request: Request) -> Response:
    """Whoever comes back from the gateway's page: what was kept is paid with."""
    held = await _held(request)
    if held.link["setup_session_id"] is not None:
        with suppress(Conflict, InvalidRequest):  # the page says how it stands
            await paying.complete(request.app.state.runtime, held, {})
    return _back(request)


def _panel(request: Request, paper: Paper) -> Panel:
    """What can be done now, by how the invoice and its payment stand."""
    base, row = _base(request), paper.payment
    said = None
    action_url = None
    if row is not None and not paper.is_payable:
        status = Status(row["status"])
        if status is Status.REQUIRES_ACTION:
            said, action_url = "action_needed", row["action_url"]
        elif status in PROCESSING:
            said = "being_paid"
    if paper.is_declined:
        said = "declined"
    is_open = paper.is_payable
    return Panel(
        paper.invoice["amount_remaining"],
        said,
        is_failure=paper.is_declined,
        pay_url=f"{base}/pay",
        methods=[_method(row) for row in paper.methods] if is_open else (),
        setup_url=f"{base}/setup",
        others=[
            Choice(ids.show("gwa", one.id), one.name)
            for one in paper.accounts
            if is_open and one.flow is SetupFlow.REDIRECT
        ],
        action_url=action_url,
        pdf_url=_pdf(request),
        return_url=paper.link["return_url"],
    )


def _method(row: Any) -> Choice:
    known = [row["brand"] or row["type"].replace("_", " ")]
    if row["last_four"]:
        known.append(f"•••• {row['last_four']}")
    name = " ".join(known)
    return Choice(ids.show("pm", row["id"]), name[:1].upper() + name[1:])


async def _held(request: Request) -> Held:
    token = request.path_params["token"]
    return await paying.hold(request.app.state.runtime, token, request.scope["request_id"])


async def _field(request: Request, name: str, prefix: str) -> Any:
    """The identifier that a form of ours sent. Raises InvalidRequest, BodyTooLarge."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > FORM_BYTES_MAX:
            raise BodyTooLarge(f"A form may have {FORM_BYTES_MAX} bytes.")
    sent = parse_qs(raw.decode("ascii", "replace"), max_num_fields=5)
    try:
        return ids.parse(prefix, sent.get(name, [""])[0])
    except ids.InvalidId:
        raise InvalidRequest(f"This is not a {name}.", param=name) from None


def _language(request: Request) -> str | None:
    wish = request.query_params.get("language")
    return wish if wish in words.LANGUAGES else None


def _base(request: Request) -> str:
    return f"/pay/{request.path_params['token']}"


def _pdf(request: Request) -> str:
    return f"/v1/pay/{request.path_params['token']}/pdf"


def _back(request: Request) -> Response:
    return RedirectResponse(_base(request), SEE_OTHER, PRIVATE)


def _page(page: Page, status: int = 200) -> Response:
    headers = PRIVATE | {"Content-Security-Policy": page.policy}
    return Response(page.body, status, headers, "text/html; charset=utf-8")


def _readable(
    handle: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The same, with a page where a program would get a problem document."""

    async def respond(request: Request) -> Response:
        try:
            return await handle(request)
        except BillingError as error:
            wish = request.headers.get("accept-language", "")
            language = words.best(request.query_params.get("language"), wish[:20])
            said = "try_later"
            status = 409
            if isinstance(error, NotFound):
                said, status = ENDED.get(error.code, "link_unknown"), NOT_FOUND
            elif isinstance(error, RateLimited):
                status = 429
            return _page(pages.render_ended(said, language), status)

    return respond


ENDED: Final = {
    "payment_link_expired": "link_expired",
    "payment_link_revoked": "link_revoked",
}
for _path, _handle, _verb in (
    ("", show, "GET"),
    ("/pay", pay, "POST"),
    ("/setup", set_up, "POST"),
    ("/kept", kept, "GET"),
):
    router.add_route(
        f"/pay/{{token}}{_path}", _readable(_handle), methods=[_verb], include_in_schema=False
    )
