"""Payment methods: a setup token, which the customer approves, becomes a payment token.

A wallet is approved on PayPal's page; a card is entered in PayPal's card fields in the shop's own
page, with the setup token. Neither a card number nor a wallet's login ever comes here.
"""

import re
from typing import Any, Final

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    DeclineInfo,
    DeclineReason,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Unknown,
)
from app.domain.vault import (
    CustomerOutcome,
    CustomerSaved,
    Detached,
    DetachOutcome,
    MethodLookup,
    MethodSaved,
    MethodType,
    SavedMethod,
    SetupFailed,
    SetupFlow,
    SetupOutcome,
    SetupPending,
    SetupStarted,
)
from app.gateways.base import InvalidRequestError
from app.gateways.paypal import declines
from app.gateways.paypal.charges import USAGE_PATTERN
from app.gateways.paypal.exchange import ask, look
from app.gateways.paypal.problems import BAD_REQUEST, MISSING, OUR_FAULT, REUSED, Refusal, refusal
from app.gateways.paypal.references import request_id, segment
from app.gateways.paypal.session import NO_CONTENT, Call, Session
from app.gateways.paypal.words import PaymentToken, PaymentTokens, SetupToken, link
from app.gateways.requests import (
    CustomerRequest,
    MethodReference,
    SetupCompletion,
    SetupRequest,
)
from app.http import Answer

SOURCE: Final = "payment_source"
"""The one parameter of a set-up."""
SETUP_TOKENS: Final = "/v3/vault/setup-tokens"
PAYMENT_TOKENS: Final = "/v3/vault/payment-tokens"
CUSTOMER_ID: Final = re.compile(r"[0-9a-zA-Z_.^*$@#-]{1,64}", re.ASCII)
PLAIN: Final = re.compile(r"[^a-zA-Z0-9_'.,:;!?\" -]", re.ASCII)
"""What PayPal does not take in the description of a wallet's agreement."""
DESCRIPTION_CHARS_MAX: Final = 128
EXPIRY: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
PAGE_SIZE: Final = 5
"""Enough to see whether a customer has more than one payment method."""
WAITING: Final = frozenset({"CREATED", "PAYER_ACTION_REQUIRED"})


def create_customer(request: CustomerRequest) -> CustomerOutcome:
    """PayPal makes a customer of its own with the first payment method; until then it is ours."""
    return CustomerSaved(request.customer.reference)


class Vault:
    """The payment methods of one account's customers."""

    def __init__(self, session: Session, client_id: str) -> None:
        self._session = session
        self._client_id = client_id

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """A setup token, and where the customer approves it."""
        is_card = _is_card(request)
        body = {
            "customer": _customer(request),
            "payment_source": {"card": _card(request)} if is_card else {"paypal": _wallet(request)},
        }
        call = Call(
            "setup_tokens.create",
            "POST",
            SETUP_TOKENS,
            body,
            request_id=request_id(request.idempotency_key, "setup"),
        )
        token = await ask(self._session, call, SetupToken)
        match token:
            case Refusal():
                return _setup_refused(token)
            case NotExecuted() | Unknown():
                return token
            case SetupToken():
                return self._started(token, is_card)

    def _started(self, token: SetupToken, is_card: bool) -> SetupOutcome:
        approve = link(token.links, "approve", "payer-action")
        if approve is None and not is_card:
            return Unknown("no_approve_link", token.id)
        return SetupStarted(
            gateway_reference=token.id,
            flow=SetupFlow.CHECKOUT if is_card else SetupFlow.REDIRECT,
            customer_reference=token.customer.id,
            redirect_url=None if is_card else approve,
            parameters={"client_id": self._client_id, "setup_token": token.id},
        )

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """The payment token of a setup token, once the customer has approved it."""
        path = f"{SETUP_TOKENS}/{segment(request.gateway_reference)}"
        token = await look(self._session, "setup_tokens.get", path, SetupToken)
        match token:
            case Inconclusive(cause=cause):
                return Unknown(cause, request.gateway_reference)
            case SetupToken(status=status) if status in WAITING:
                return SetupPending(request.gateway_reference)
            case SetupToken() | NotFound():
                # One that was used already may still be had by the same key.
                known = token.customer.id if isinstance(token, SetupToken) else None
                return await self._vaulted(request, known, token)

    async def _vaulted(
        self, request: SetupCompletion, customer: str | None, before: SetupToken | NotFound
    ) -> SetupOutcome:
        call = Call(
            "payment_tokens.create",
            "POST",
            PAYMENT_TOKENS,
            {"payment_source": {"token": {"id": request.gateway_reference, "type": "SETUP_TOKEN"}}},
            request_id=request_id(request.idempotency_key, "token"),
        )
        made = await ask(self._session, call, PaymentToken)
        is_used = isinstance(before, SetupToken) and before.status in {"VAULTED", "TOKENIZED"}
        match made:
            case PaymentToken():
                return MethodSaved(method_of(made), request.gateway_reference)
            case NotExecuted():
                return made
            case Unknown(cause=cause) if cause != REUSED.lower():
                return made
            case _ if is_used and customer is not None:
                return await self._only_token(customer, request.gateway_reference)
            case Unknown():
                return made
            case Refusal():
                return _setup_refused(made, request.gateway_reference)

    async def _only_token(self, customer: str, setup: str) -> SetupOutcome:
        """What a used setup token led to, where the customer has one payment method only."""
        call = Call(
            "payment_tokens.list",
            "GET",
            PAYMENT_TOKENS,
            params={"customer_id": customer, "page_size": str(PAGE_SIZE)},
        )
        tokens = await ask(self._session, call, PaymentTokens)
        match tokens:
            case PaymentTokens(payment_tokens=[only]):
                return MethodSaved(method_of(only), setup)
            case PaymentTokens():
                return Unknown("which_payment_token", setup)
            case Refusal():
                return Unknown(tokens.code.lower(), setup)
            case NotExecuted(cause=cause) | Unknown(cause=cause):
                return Unknown(cause, setup)

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """A payment token as it is kept."""
        path = f"{PAYMENT_TOKENS}/{segment(method.reference)}"
        token = await look(self._session, "payment_tokens.get", path, PaymentToken)
        return Found(method_of(token)) if isinstance(token, PaymentToken) else token

    async def detach(self, method: MethodReference) -> DetachOutcome:
        """Delete a payment token; one that is gone is gone. Repeating it changes nothing."""
        path = f"{PAYMENT_TOKENS}/{segment(method.reference)}"
        call = Call("payment_tokens.delete", "DELETE", path)
        answer = await self._session.send(call)
        if not isinstance(answer, Answer):
            return answer
        if answer.status == NO_CONTENT:
            return Detached()
        refused = refusal(call.verb, answer)
        if not isinstance(refused, Refusal):
            return refused
        if refused.status == MISSING:
            return Detached()
        raise refused.error()


def _is_card(request: SetupRequest) -> bool:
    """Whether a card is to be kept; a wallet otherwise. Raises InvalidRequestError."""
    source = request.parameters.get(SOURCE, "paypal")
    if source not in {"paypal", "card"}:
        raise InvalidRequestError(
            f"“{SOURCE}” is “paypal” or “card”.", code="unknown_payment_source", param=SOURCE
        )
    return source == "card"


def _customer(request: SetupRequest) -> dict[str, str]:
    """PayPal's own customer where there is one, else our name for whom it will make."""
    known, ours = request.customer_reference, request.customer.reference
    if known is not None and known != ours:
        return {"id": known}
    if CUSTOMER_ID.fullmatch(ours) is None:
        raise InvalidRequestError(
            "PayPal does not take this name of a customer.", code="customer", param="customer"
        )
    return {"merchant_customer_id": ours}


def _experience(request: SetupRequest) -> dict[str, str]:
    if request.return_url is None:
        raise InvalidRequestError(
            "PayPal sends the customer back to a page of yours: say which.",
            code="return_url_required",
            param="return_url",
        )
    return {
        "return_url": request.return_url,
        "cancel_url": request.cancel_url or request.return_url,
    }


def _wallet(request: SetupRequest) -> dict[str, Any]:
    """Each set-up leads to a token of its own, also of a PayPal account that is known already."""
    said = PLAIN.sub("", request.description or "").strip()[:DESCRIPTION_CHARS_MAX]
    return {
        "usage_type": "MERCHANT",
        "usage_pattern": USAGE_PATTERN,
        "permit_multiple_payment_tokens": True,
        "experience_context": _experience(request) | {"shipping_preference": "NO_SHIPPING"},
    } | ({"description": said} if said else {})


def _card(request: SetupRequest) -> dict[str, Any]:
    return {
        "verification_method": "SCA_WHEN_REQUIRED",
        "experience_context": _experience(request),
    }


def _setup_refused(refused: Refusal, reference: str | None = None) -> SetupFailed:
    """A refused set-up; raises InvalidRequestError when the fault is ours."""
    info = declines.by_issue(refused.issues)
    if info is None and (refused.status == BAD_REQUEST or OUR_FAULT.fullmatch(refused.code)):
        raise refused.error()
    if info is None or refused.status == MISSING:
        info = DeclineInfo(
            DeclineCategory.HARD,
            DeclineReason.INVALID_PAYMENT_METHOD,
            refused.code,
            DeclineAdvice.UPDATE_PAYMENT_METHOD,
        )
    return SetupFailed(info, reference)


def method_of(token: PaymentToken) -> SavedMethod:
    """A payment token in our words; nothing of its owner."""
    card = token.payment_source.card
    if card is None:
        return SavedMethod(
            token.id,
            token.customer.id,
            MethodType.WALLET,
            brand="paypal",
            fingerprint=_payer(token),
        )
    expiry = EXPIRY.fullmatch(card.expiry or "")
    network = card.network_transaction_reference
    return SavedMethod(
        token.id,
        token.customer.id,
        MethodType.CARD,
        brand=card.brand.lower() if card.brand is not None else None,
        last_four=card.last_digits,
        expiry_month=int(expiry[2]) if expiry is not None else None,
        expiry_year=int(expiry[1]) if expiry is not None else None,
        network_transaction_id=network.id if network is not None else None,
    )


def _payer(token: PaymentToken) -> str | None:
    """PayPal's own number of the account: the same however often it is approved."""
    wallet = token.payment_source.paypal
    return wallet.payer_id or wallet.account_id if wallet is not None else None
