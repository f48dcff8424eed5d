"""The adapter of the simulator: the shape that every adapter follows, on the simplest gateway.

Native idempotency keys, kept for ever; look-up by our own reference, complete and immediate.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundLookup,
    RefundOutcome,
    RefundPending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from app.gateways.base import (
    AccountSettings,
    AuthenticationError,
    CredentialCheck,
    InvalidRequestError,
)
from app.gateways.capabilities import AmountFormat, Capabilities, NativeKey
from app.gateways.requests import ChargeRequest, RefundRequest
from app.http import Answer, HttpClient, Lost, NotSent
from app.settings import settings

DEFAULT_SECRET: Final = SecretStr("sk_sim_test")
DAY_SECONDS: Final = 86_400
CREATED: Final = 201
DECLINED: Final = 402

_HARD, _SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DECLINES: Final = MappingProxyType(
    {
        "insufficient_funds": (_SOFT, DeclineReason.INSUFFICIENT_FUNDS, _LATER),
        "expired": (_HARD, DeclineReason.EXPIRED_CARD, _UPDATE),
        "lost_or_stolen": (_HARD, DeclineReason.LOST_OR_STOLEN, _STOP),
        "do_not_honor": (_SOFT, DeclineReason.DO_NOT_HONOR, _LATER),
        "fraud": (DeclineCategory.FRAUD, DeclineReason.GENERIC, _STOP),
        "invalid_payment_method": (_HARD, DeclineReason.INVALID_PAYMENT_METHOD, _UPDATE),
        "authentication_required": (
            DeclineCategory.ACTION_REQUIRED,
            DeclineReason.AUTHENTICATION_REQUIRED,
            _UPDATE,
        ),
        "mandate_revoked": (_HARD, DeclineReason.MANDATE_REVOKED, _UPDATE),
        "limit_exceeded": (_SOFT, DeclineReason.LIMIT_EXCEEDED, _LATER),
        "issuer_unavailable": (_SOFT, DeclineReason.ISSUER_UNAVAILABLE, _LATER),
        "processing_error": (_SOFT, DeclineReason.PROCESSING_ERROR, _LATER),
        "account_not_enabled": (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, _STOP),
        "generic": (_SOFT, DeclineReason.GENERIC, _LATER),
    }
)
UNLISTED: Final = (_SOFT, DeclineReason.GENERIC, _LATER)
REFUND_REFUSALS: Final = MappingProxyType(
    {
        "charge_not_found": RefundDeclineReason.PAYMENT_NOT_FOUND,
        "charge_not_refundable": RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "refund_exceeds_charge": RefundDeclineReason.EXCEEDS_CAPTURED,
    }
)


class ChargeAnswer(BaseModel):
    """A charge in the simulator's words."""

    object: Literal["charge"]
    id: str
    reference: str
    status: Literal["succeeded", "pending", "requires_action", "declined"]
    amount: int
    currency: str
    fee: int | None
    network_transaction_id: str | None
    decline_code: str | None
    action_url: str | None

    def outcome(self) -> Outcome:
        """The same in ours."""
        match self.status:
            case "succeeded":
                return Succeeded(
                    self.id, self.amount, self.currency, self.network_transaction_id, self.fee
                )
            case "pending":
                return Pending(self.id)
            case "requires_action":
                return RequiresAction(self.id, self.action_url)
            case "declined":
                return Declined(decline_of(self.decline_code or "generic"), self.id)


class RefundAnswer(BaseModel):
    """A refund in the simulator's words."""

    object: Literal["refund"]
    id: str
    reference: str
    status: Literal["succeeded", "pending", "failed"]
    amount: int
    currency: str
    failure_code: str | None

    def outcome(self) -> RefundOutcome:
        """The same in ours."""
        match self.status:
            case "succeeded":
                return Refunded(self.id, self.amount, self.currency)
            case "pending":
                return RefundPending(self.id)
            case "failed":
                code = self.failure_code or "generic"
                return RefundDeclined(RefundDeclineReason.GENERIC, code, self.id)


class ChargeList(BaseModel):
    """Every charge that carries one reference."""

    data: list[ChargeAnswer]


class RefundList(BaseModel):
    """Every refund that carries one reference."""

    data: list[RefundAnswer]


class Problem(BaseModel):
    """Why the simulator did nothing."""

    code: str
    message: str
    param: str | None = None


class ProblemAnswer(BaseModel):
    """A problem, wrapped as it travels."""

    error: Problem


Readable = TypeVar("Readable", bound=BaseModel)


def read(model: type[Readable], answer: Answer) -> Readable | None:
    """The answer as a `model`, or None when it makes no sense."""
    try:
        return model.model_validate_json(answer.body, strict=True)
    except ValidationError:
        return None


def decline_of(code: str) -> DeclineInfo:
    """The simulator's decline code in our words."""
    category, reason, advice = DECLINES.get(code, UNLISTED)
    return DeclineInfo(category, reason, code, advice)


def refused(answer: Answer) -> NotExecuted | Unknown:
    """What an error answer means for money; raises GatewayError when no retry will mend it."""
    match answer.status:
        case 429:
            seconds = answer.headers.get("Retry-After", "")
            return NotExecuted("rate_limited", int(seconds) if seconds.isdecimal() else None)
        case 409:
            return Unknown("still_running")
        case 401 | 403:
            raise AuthenticationError("The simulator does not accept the secret of this account.")
        case 400 | 404 | 422:
            problem = read(ProblemAnswer, answer)
            if problem is None:
                return Unknown("unreadable_answer")
            error = problem.error
            raise InvalidRequestError(error.message, code=error.code, param=error.param)
        case status:
            return Unknown(f"http_{status}")


class SimulatorGateway:
    """One account at the simulator, spoken to over HTTP like any other gateway."""

    name: ClassVar[str] = "simulator"
    capabilities: ClassVar[Capabilities] = Capabilities(
        charge_repeatability=NativeKey(ttl_seconds=30 * DAY_SECONDS, margin_seconds=DAY_SECONDS),
        refund_repeatability=NativeKey(ttl_seconds=30 * DAY_SECONDS, margin_seconds=DAY_SECONDS),
        lookup_freshness_seconds=0,
        effect_latest_seconds=90,
        reference_length_max=40,
        amount_format=AmountFormat.MINOR_INTEGER,
        moves_real_money=False,
    )

    def __init__(self, account: AccountSettings) -> None:
        secret = account.credentials.get("secret_key", DEFAULT_SECRET).get_secret_value()
        self._http = HttpClient(
            account.base_url or settings().simulator_url,
            headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
            connect_timeout_seconds=account.connect_timeout_seconds,
            total_timeout_seconds=account.total_timeout_seconds,
        )

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, once per idempotency key."""
        body = {
            "reference": request.attempt_code,
            "amount": request.amount_minor,
            "currency": request.currency,
            "payment_method": request.payment_method_reference,
            "customer": request.customer_reference,
            "invoice_number": request.invoice_number,
            "description": request.description,
            "sequence": request.sequence,
        }
        answer = await self._post("/v1/charges", request.idempotency_key, body)
        if not isinstance(answer, Answer):
            return answer
        charge = read(ChargeAnswer, answer)
        if charge is None:
            return Unknown("unreadable_answer")
        if (charge.reference, charge.amount, charge.currency) != (
            request.attempt_code,
            request.amount_minor,
            request.currency,
        ):
            return Unknown("answer_for_another_charge", charge.id)
        return charge.outcome()

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        body = {
            "charge": request.payment_reference,
            "reference": request.refund_code,
            "amount": request.amount_minor,
            "currency": request.currency,
        }
        try:
            answer = await self._post("/v1/refunds", request.idempotency_key, body)
        except InvalidRequestError as error:
            reason = REFUND_REFUSALS.get(error.code or "")
            if reason is None:
                raise
            return RefundDeclined(reason, error.code or "")
        if not isinstance(answer, Answer):
            return answer
        refund = read(RefundAnswer, answer)
        if refund is None:
            return Unknown("unreadable_answer")
        if (refund.reference, refund.amount, refund.currency) != (
            request.refund_code,
            request.amount_minor,
            request.currency,
        ):
            return Unknown("answer_for_another_refund", refund.id)
        return refund.outcome()

    async def _post(
        self, path: str, key: str, body: Mapping[str, object]
    ) -> Answer | NotExecuted | Unknown:
        """A call that may move money: an answer that speaks of it, or what its lack means."""
        exchange = await self._http.send(
            "POST", path, headers={"Idempotency-Key": key}, content=orjson.dumps(body)
        )
        match exchange:
            case NotSent(cause):
                return NotExecuted(cause)
            case Lost(cause):
                return Unknown(cause)
            case Answer(status=200 | 201 | 402):
                return exchange
            case Answer():
                return refused(exchange)

    async def find_payment(self, reference: str) -> PaymentLookup:
        """How the charge with our reference stands now; charges show at once."""
        found = await self._find("/v1/charges", reference, ChargeList)
        if not isinstance(found, ChargeList):
            return found
        if any(charge.reference != reference for charge in found.data):
            return Inconclusive("answer_for_another_charge")
        order = ("succeeded", "pending", "requires_action", "declined")
        ranked = sorted(found.data, key=lambda charge: order.index(charge.status))
        if not ranked:
            return NotFound(definitive=True)
        others = (charge.id for charge in ranked[1:] if charge.status in {"succeeded", "pending"})
        return Found(ranked[0].outcome(), tuple(others))

    async def find_refund(self, reference: str) -> RefundLookup:
        """How the refund with our reference stands now; refunds show at once."""
        found = await self._find("/v1/refunds", reference, RefundList)
        if not isinstance(found, RefundList):
            return found
        if any(refund.reference != reference for refund in found.data):
            return Inconclusive("answer_for_another_refund")
        order = ("succeeded", "pending", "failed")
        ranked = sorted(found.data, key=lambda refund: order.index(refund.status))
        if not ranked:
            return NotFound(definitive=True)
        others = (refund.id for refund in ranked[1:] if refund.status in {"succeeded", "pending"})
        return Found(ranked[0].outcome(), tuple(others))

    async def _find(
        self, path: str, reference: str, model: type[Readable]
    ) -> Readable | Inconclusive:
        exchange = await self._http.send("GET", path, params={"reference": reference})
        match exchange:
            case NotSent(cause) | Lost(cause):
                return Inconclusive(cause)
            case Answer(status=200):
                return read(model, exchange) or Inconclusive("unreadable_answer")
            case Answer():
                return Inconclusive(refused(exchange).cause)

    async def check_credentials(self) -> CredentialCheck:
        """Whether the simulator accepts the secret."""
        exchange = await self._http.send("GET", "/v1/account")
        match exchange:
            case Answer(status=200):
                return CredentialCheck.VALID
            case Answer(status=401 | 403):
                return CredentialCheck.REFUSED
            case _:
                return CredentialCheck.UNREACHABLE

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()
