"""POST /v1/gateways/{gateway}/{account}/webhooks: where gateways tell what happened.

No key: a delivery proves itself by its signature. It is answered 200 once it is written down, 400
if it is not proved, and 503 whenever the gateway had better deliver it again.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app import ids, log
from app.api import problems
from app.api.answers import answer
from app.api.auth import Access
from app.api.common import Output
from app.api.endpoint import Endpoint
from app.api.problems import BodyTooLarge
from app.domain.errors import BillingError, NotFound
from app.services import inbox
from app.services.inbox import Delivery

logger = log.get(__name__)


class WebhookReceipt(Output):
    object: Literal["webhook_receipt"]
    received: Literal[True]


class GatewayEndpoint(Endpoint):
    """A route for gateways: no key, and no reading before the proof."""

    access: ClassVar[Access] = Access.GATEWAY

    def get_route_handler(self) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            try:
                return await _take(request)
            except BillingError:
                raise
            except Exception as error:
                # Whatever it is, it is our own fault and not the gateway's: let it come again.
                logger.error("inbox.fault", request_id=problems.request_id(request), exc_info=error)
                return problems.problem(
                    503,
                    "unavailable",
                    "The delivery could not be taken in; deliver it again.",
                    problems.request_id(request),
                    headers={"Retry-After": str(problems.UNAVAILABLE_RETRY_SECONDS)},
                )

        return handle


router = APIRouter(prefix="/v1/gateways", tags=["gateway_accounts"], route_class=GatewayEndpoint)


@router.post(
    "/{gateway}/{gateway_account_id}/webhooks",
    operation_id="create_gateway_webhook",
    response_model=WebhookReceipt,
)
async def create_gateway_webhook(gateway: str, gateway_account_id: str) -> None:
    """Take in what a gateway tells, in its own form, proved by its own signature.

    The address is an account's `webhook_url`. Nothing is read of a delivery before it is proved.
    """


async def _take(request: Request) -> Response:
    state, place = request.app.state, request.path_params
    try:
        account_id = ids.parse("gwa", place["gateway_account_id"])
    except ids.InvalidId:
        raise NotFound("There is no such gateway account.") from None
    delivery = Delivery(
        gateway=place["gateway"],
        account_id=account_id,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await _body(request),
    )
    await state.mailbox.take(state.runtime, delivery)
    return answer({"object": "webhook_receipt", "received": True})


async def _body(request: Request) -> bytes:
    """The raw body, as long as it is bounded. Raises BodyTooLarge."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > inbox.BODY_BYTES_MAX:
            raise BodyTooLarge(f"A delivery may have {inbox.BODY_BYTES_MAX} bytes.")
        parts.append(part)
    return b"".join(parts)
