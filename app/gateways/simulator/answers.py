"""The simulator's answers: read strictly, and said again in our words."""

from datetime import UTC, datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from app.domain.dispute import DisputeReport, DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
    NotExecuted,
    Outcome,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.domain.vault import (
    MethodSaved,
    MethodType,
    SavedMethod,
    SetupFailed,
    SetupFlow,
    SetupOutcome,
    SetupPending,
    SetupStarted,
)
from app.gateways.base import AuthenticationError, InvalidRequestError
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.simulator.declines import decline_of
from app.http import Answer, retry_after_seconds

STATUSES = {
    "succeeded": TransactionStatus.SUCCEEDED,
    "authorized": TransactionStatus.AUTHORIZED,
    "pending": TransactionStatus.PENDING,
    "requires_action": TransactionStatus.PENDING,
    "declined": TransactionStatus.FAILED,
    "failed": TransactionStatus.FAILED,
    "voided": TransactionStatus.VOIDED,
}


def moment(milliseconds: int | None) -> datetime | None:
    """An instant of the simulator's, in UTC."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1_000, UTC)


class ChargeAnswer(BaseModel):
    """A charge in the simulator's words."""

    object: Literal["charge"]
    id: str
    reference: str
    status: Literal["succeeded", "authorized", "pending", "requires_action", "declined", "voided"]
    amount: int
    currency: str
    fee: int | None
    network_transaction_id: str | None
    decline_code: str | None
    action_url: str | None
    client_secret: str | None = None
    amount_refunded: int = 0
    expires_at: int | None = None
    expected_by: int | None = None
    created_at: int = 0

    def outcome(self) -> Outcome:
        """The same in ours."""
        match self.status:
            case "succeeded":
                return Succeeded(
                    self.id, self.amount, self.currency, self.network_transaction_id, self.fee
                )
            case "authorized":
                return Authorized(
                    self.id,
                    self.amount,
                    self.currency,
                    moment(self.expires_at),
                    self.network_transaction_id,
                )
            case "pending":
                return Pending(self.id, expected_by=moment(self.expected_by))
            case "requires_action":
                return RequiresAction(self.id, self.action_url, self.client_secret)
            case "declined":
                return Declined(decline_of(self.decline_code or "generic"), self.id)
            case "voided":
                return Voided(self.id)

    def transaction(self) -> GatewayTransaction:
        """The same as a line of the books."""
        return GatewayTransaction(
            reference=self.id,
            kind=TransactionKind.CHARGE,
            status=STATUSES[self.status],
            amount_minor=self.amount,
            currency=self.currency,
            created_at=datetime.fromtimestamp(self.created_at / 1_000, UTC),
            our_reference=self.reference,
            refunded_minor=self.amount_refunded,
            fee_minor=self.fee,
        )


class RefundAnswer(BaseModel):
    """A refund in the simulator's words."""

    object: Literal["refund"]
    id: str
    charge: str = ""
    reference: str
    status: Literal["succeeded", "pending", "failed"]
    amount: int
    currency: str
    failure_code: str | None
    created_at: int = 0

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

    def transaction(self) -> GatewayTransaction:
        """The same as a line of the books."""
        return GatewayTransaction(
            reference=self.id,
            kind=TransactionKind.REFUND,
            status=STATUSES[self.status],
            amount_minor=self.amount,
            currency=self.currency,
            created_at=datetime.fromtimestamp(self.created_at / 1_000, UTC),
            our_reference=self.reference,
            payment_reference=self.charge,
        )


class MethodAnswer(BaseModel):
    """A payment method in the simulator's words."""

    object: Literal["payment_method"]
    id: str
    customer: str | None
    type: Literal["card"]
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None
    network_transaction_id: str | None
    is_usable: bool

    def method(self) -> SavedMethod:
        """The same in ours."""
        return SavedMethod(
            self.id,
            self.customer,
            MethodType.CARD,
            brand=self.brand,
            last_four=self.last_four,
            expiry_month=self.expiry_month,
            expiry_year=self.expiry_year,
            network_transaction_id=self.network_transaction_id,
            is_usable=self.is_usable,
        )


class SetupAnswer(BaseModel):
    """A set-up in the simulator's words."""

    object: Literal["setup"]
    id: str
    reference: str
    customer: str
    status: Literal["requires_action", "succeeded", "failed"]
    client_secret: str
    expires_at: int
    payment_method: MethodAnswer | None
    decline_code: str | None

    def started(self) -> SetupOutcome:
        """What the storefront needs; or how it ended, if it has."""
        if self.status != "requires_action":
            return self.outcome()
        return SetupStarted(
            self.id,
            SetupFlow.CLIENT_SECRET,
            customer_reference=self.customer,
            client_secret=self.client_secret,
            expires_at=moment(self.expires_at),
        )

    def outcome(self) -> SetupOutcome:
        """How it stands."""
        match self.status:
            case "requires_action":
                return SetupPending(self.id)
            case "succeeded":
                assert self.payment_method is not None
                return MethodSaved(self.payment_method.method(), self.id)
            case "failed":
                return SetupFailed(decline_of(self.decline_code or "generic"), self.id)


class CustomerAnswer(BaseModel):
    """A customer in the simulator's words."""

    object: Literal["customer"]
    id: str


class OrderAnswer(BaseModel):
    """An order: at most one charge on it ever succeeds."""

    object: Literal["order"] = "order"
    id: str
    receipt: str
    amount: int
    currency: str


class OrderList(BaseModel):
    """Every order with one receipt, oldest first."""

    data: list[OrderAnswer]


class DisputeAnswer(BaseModel):
    """A dispute in the simulator's words."""

    object: Literal["dispute"]
    id: str
    charge: str
    status: Literal["needs_response", "under_review", "won", "lost", "closed"]
    amount: int
    currency: str
    withdrawn: int
    fee: int
    reason: str
    due_by: int
    created_at: int

    def report(self) -> DisputeReport:
        """The same in ours."""
        return DisputeReport(
            self.id,
            self.charge,
            DisputeStatus(self.status),
            self.amount,
            self.currency,
            withdrawn_minor=self.withdrawn,
            fee_minor=self.fee,
            reason=self.reason,
            opened_at=moment(self.created_at),
            evidence_due_by=moment(self.due_by),
        )


class ChargeList(BaseModel):
    """Every charge that carries one reference."""

    data: list[ChargeAnswer]


class RefundList(BaseModel):
    """Every refund that carries one reference."""

    data: list[RefundAnswer]


class TransactionPage(BaseModel):
    """A page of the books."""

    data: list[ChargeAnswer | RefundAnswer]
    has_more: bool
    next_cursor: str | None


class DisputePage(BaseModel):
    """A page of disputes."""

    data: list[DisputeAnswer]
    has_more: bool
    next_cursor: str | None


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


def refused(answer: Answer) -> NotExecuted | Unknown:
    """What an error answer means for money; raises GatewayError when no retry will mend it."""
    match answer.status:
        case 429:
            return NotExecuted("rate_limited", retry_after_seconds(answer.headers))
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
