"""Taking money: one order a charge, in one call; captures of what is held; giving up.

`invoice_id` and `custom_id` of the order are the attempt's code. PayPal refuses a second payment
with the same `invoice_id` (unless the account allows it): where its request ids have been
forgotten, that is a last belt.
"""

import re
from typing import Any, Final

from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    Inconclusive,
    NotExecuted,
    NotFound,
    Outcome,
    Succeeded,
    Unknown,
    Voided,
)
from app.domain.vault import MethodType
from app.gateways.base import InvalidRequestError
from app.gateways.paypal import amounts, declines, lookups, outcomes
from app.gateways.paypal.exchange import ask, look
from app.gateways.paypal.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    MISSING,
    OUR_FAULT,
    Refusal,
)
from app.gateways.paypal.references import (
    Kind,
    Reference,
    authorization_path,
    capture_path,
    request_id,
)
from app.gateways.paypal.session import Call, Session
from app.gateways.paypal.words import Authorization, Capture, Order
from app.gateways.requests import CaptureRequest, ChargeRequest

WALLET: Final = "paypal"
CARD: Final = "card"
OTHER_KIND: Final = "MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE"
DESCRIPTION_CHARS_MAX: Final = 127
USAGE_PATTERN: Final = "RECURRING_PREPAID"
"""Fixed or variable amounts on fixed dates; the same as the customer approved."""
NETWORK_ID: Final = re.compile(r"[a-zA-Z0-9_@.:&+=*^'~#!$%()-]{9,36}", re.ASCII)
NOT_HELD_ANY_MORE: Final = frozenset({"AUTHORIZATION_VOIDED", "PREVIOUSLY_VOIDED"})
LAPSED: Final = frozenset({"AUTHORIZATION_EXPIRED"})
TAKEN_ALREADY: Final = frozenset(
    {"AUTHORIZATION_ALREADY_CAPTURED", "MAX_CAPTURE_COUNT_EXCEEDED", "PREVIOUSLY_CAPTURED"}
)
HOLD_LAPSED: Final = frozenset({"PAYER_CANNOT_PAY", "TRANSACTION_REFUSED", "AUTHORIZATION_DENIED"})
"""How a capture is refused whose honor period of three days is over: a fresh hold may help."""


def order_of(request: ChargeRequest, source: str) -> dict[str, Any]:
    """The order of a charge to a `paypal` wallet or a `card`.

    Raises InvalidRequestError for an amount that PayPal cannot take.
    """
    unit = {
        "invoice_id": request.attempt_code,
        "custom_id": request.attempt_code,
        "amount": amounts.write(request.amount_minor, request.currency),
    }
    description = request.description.strip()[:DESCRIPTION_CHARS_MAX]
    return {
        "intent": "CAPTURE" if request.is_captured else "AUTHORIZE",
        "purchase_units": [unit | ({"description": description} if description else {})],
        "payment_source": {source: _source(request, source)},
    }


def _source(request: ChargeRequest, source: str) -> dict[str, Any]:
    """Merchant-initiated, and always a later use: the first was the set-up, with the customer."""
    credential: dict[str, Any] = {"payment_initiator": "MERCHANT", "usage": "SUBSEQUENT"}
    if source == WALLET:
        credential["usage_pattern"] = USAGE_PATTERN
    else:
        credential["payment_type"] = "RECURRING"
        if NETWORK_ID.fullmatch(request.network_transaction_id or ""):
            reference = {"id": request.network_transaction_id}
            credential["previous_network_transaction_reference"] = reference
    return {"vault_id": request.payment_method_reference, "stored_credential": credential}


def declined(refused: Refusal) -> Declined:
    """A refused payment as a decline; raises InvalidRequestError when the fault is ours.

    So is a lack of permission: PayPal asks for it before it looks up a request id, so that it says
    nothing of what a request before this one did.
    """
    if refused.status == FORBIDDEN:
        raise refused.error()
    info = declines.by_issue(refused.issues)
    if info is not None:
        return Declined(info)
    if refused.status == BAD_REQUEST or OUR_FAULT.fullmatch(refused.code):
        raise refused.error()
    return Declined(declines.unlisted(refused.code))


class Charges:
    """What moves money at one account."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it, once per idempotency key.

        A token that PayPal says is not of the kind we took it for is charged as the other kind: it
        was refused for certain, and is so again whenever this is repeated. Each kind has a request
        id of its own, so a better guess in a repetition makes no second order either.
        """
        kinds = (WALLET, CARD) if request.method_type == MethodType.WALLET else (CARD, WALLET)
        order = await self._create(request, kinds[0])
        if isinstance(order, Refusal) and OTHER_KIND in order.issues:
            order = await self._create(request, kinds[1])
        if isinstance(order, Refusal):
            return declined(order)
        if not isinstance(order, Order):
            return order
        asked = (request.amount_minor, request.currency)
        if _is_other(order, request.attempt_code, asked):
            reference = str(Reference(Kind.ORDER, order.id))
            return Unknown("answer_for_another_charge", reference)
        outcome = outcomes.of_order(order)
        if isinstance(outcome, Authorized) and order.status == "APPROVED":
            return await self._take_approved(order, request.idempotency_key)
        return outcome

    async def _create(
        self, request: ChargeRequest, source: str
    ) -> Order | Refusal | NotExecuted | Unknown:
        key = request_id(request.idempotency_key, f"order-{source}")
        body = order_of(request, source)
        path = "/v2/checkout/orders"
        return await self._order(Call("orders.create", "POST", path, body, request_id=key))

    async def _order(self, call: Call) -> Order | Refusal | NotExecuted | Unknown:
        """An order whole, also when the answer was minimal."""
        order = await ask(self._session, call, Order)
        if not isinstance(order, Order) or order.purchase_units:
            return order
        reference = Reference(Kind.ORDER, order.id)
        whole = await look(self._session, "orders.get", reference.path, Order)
        if isinstance(whole, NotFound | Inconclusive) or not whole.purchase_units:
            return Unknown("incomplete_answer", str(reference))
        return whole

    async def _take_approved(self, order: Order, key: str) -> Outcome:
        """What the customer has agreed to after all is taken, or held, once per key."""
        reference = Reference(Kind.ORDER, order.id)
        step = "authorize" if order.intent == "AUTHORIZE" else "capture"
        call = Call(
            f"orders.{step}",
            "POST",
            f"{reference.path}/{step}",
            {},
            request_id=request_id(key, step),
        )
        taken = await self._order(call)
        match taken:
            case Order():
                return outcomes.of_order(taken)
            case Refusal():
                return declined(taken)
            case Unknown(cause=cause):
                return Unknown(cause, str(reference))
            case NotExecuted():
                return taken

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held, in whole or in part, once per idempotency key."""
        reference = Reference.parse(request.payment_reference)
        match reference.kind:
            case Kind.AUTHORIZATION:
                return await self._capture_held(request, reference)
            case Kind.ORDER:
                return await self._capture_approved(request, reference)
            case Kind.CAPTURE:
                return await self._captured_before(request, reference)

    async def _capture_held(self, request: CaptureRequest, held: Reference) -> Outcome:
        captured = await self._capture_once(request, held, "capture")
        if not isinstance(captured, Refusal):
            return captured
        issues = frozenset(captured.issues)
        if issues & TAKEN_ALREADY:
            return await self._captured_before(request, held)
        if issues & NOT_HELD_ANY_MORE:
            return Voided(str(held))
        if issues & HOLD_LAPSED:
            return await self._capture_anew(request, held, captured)
        return _capture_declined(captured)

    async def _capture_once(
        self, request: CaptureRequest, held: Reference, step: str
    ) -> Outcome | Refusal:
        body = {
            "amount": amounts.write(request.amount_minor, request.currency),
            "final_capture": True,
        }
        call = Call(
            "authorizations.capture",
            "POST",
            f"{held.path}/capture",
            body,
            request_id=request_id(request.idempotency_key, step),
        )
        capture = await ask(self._session, call, Capture, capture_path)
        if not isinstance(capture, Capture):
            return capture
        if not outcomes.is_for(capture.amount, (request.amount_minor, request.currency)):
            return Unknown("answer_for_another_capture", capture.id)
        return outcomes.of_capture(capture)

    async def _capture_anew(
        self, request: CaptureRequest, held: Reference, refused: Refusal
    ) -> Outcome:
        """Three days are over and PayPal would not take it: hold it once more, then take that.

        Only after a definite no, so that never two captures can be under way; a hold that cannot
        be renewed leaves the no as it was.
        """
        call = Call(
            "authorizations.reauthorize",
            "POST",
            f"{held.path}/reauthorize",
            {"amount": amounts.write(request.amount_minor, request.currency)},
            request_id=request_id(request.idempotency_key, "reauthorize"),
        )
        anew = await ask(self._session, call, Authorization, authorization_path)
        match anew:
            case Refusal():
                return _capture_declined(refused)
            case Unknown(cause=cause) | NotExecuted(cause=cause):
                return NotExecuted(f"reauthorize_{cause}")  # the refused capture did nothing
            case Authorization():
                fresh = Reference(Kind.AUTHORIZATION, anew.id)
                again = await self._capture_once(request, fresh, "recapture")
                return _capture_declined(again) if isinstance(again, Refusal) else again

    async def _capture_approved(self, request: CaptureRequest, reference: Reference) -> Outcome:
        """An order that its customer has approved: it is taken whole, or not at all."""
        order = await look(self._session, "orders.get", reference.path, Order)
        if isinstance(order, NotFound):
            raise InvalidRequestError("PayPal knows no such order.", code="order_not_found")
        if isinstance(order, Inconclusive):
            return NotExecuted(order.cause)
        asked = (request.amount_minor, request.currency)
        if len(order.purchase_units) != 1 or not outcomes.is_for(
            order.purchase_units[0].amount, asked
        ):
            raise InvalidRequestError(
                "An approved order is captured whole.", code="order_amount", param="amount"
            )
        before = outcomes.of_order(order)
        if isinstance(before, Voided) or _payments(order):
            return await self._captured_before(request, reference)
        taken = await self._take_approved(order, request.idempotency_key)
        if isinstance(taken, Authorized):
            return await self._capture_held(request, Reference.parse(taken.gateway_reference))
        return taken

    async def _captured_before(self, request: CaptureRequest, reference: Reference) -> Outcome:
        """What there is, where PayPal says that it was taken already."""
        found = await lookups.fetch_payment(self._session, reference)
        if isinstance(found, NotFound | Inconclusive):
            return Unknown("captured_already", str(reference))
        outcome = found.outcome
        asked = (request.amount_minor, request.currency)
        if isinstance(outcome, Succeeded) and (outcome.amount_minor, outcome.currency) != asked:
            return Unknown("captured_another_amount", outcome.gateway_reference)
        return outcome


def _payments(order: Order) -> bool:
    """Whether anything was taken or held in the order, or tried to be."""
    return any(u.payments.captures or u.payments.authorizations for u in order.purchase_units)


def _is_other(order: Order, code: str, asked: tuple[int, str]) -> bool:
    """Whether the order speaks of another charge than the one that was asked for."""
    if len(order.purchase_units) != 1:
        return True
    unit = order.purchase_units[0]
    return unit.our_reference != code or not outcomes.is_for(unit.amount, asked)


def _capture_declined(refused: Refusal) -> Declined:
    if refused.status != MISSING:
        return declined(refused)
    return Declined(
        DeclineInfo(
            DeclineCategory.SOFT,
            DeclineReason.PROCESSING_ERROR,
            refused.code,
            DeclineAdvice.RETRY_LATER,
        )
    )
