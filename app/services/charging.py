"""Calls to a gateway for one attempt: the request, kept as it was first sent, and the answer.

What is asked is written down with the attempt, whole, before it is sent: whatever changes since
(another address, a newer card, a first charge that succeeded meanwhile), a repetition is the same
bytes.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import orjson

from app import ids, log
from app.db.base import Row
from app.domain.collection import Bill
from app.domain.outcome import (
    Authorized,
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    NotExecuted,
    Outcome,
    Unknown,
    VoidOutcome,
)
from app.domain.payment import Attempt
from app.gateways.base import AuthenticationError, Gateway, GatewayError, InvalidRequestError
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerDetails,
    PaymentQuery,
    Sequence,
    VoidRequest,
)

COLUMNS: Final = frozenset({"attempt_code", "idempotency_key", "amount_minor", "currency"})
"""What of a request the attempt's own columns hold."""
logger = log.get(__name__)


def first_request(
    attempt: Attempt, bill: Bill, method: Row, not_before: datetime | None = None
) -> ChargeRequest:
    """The request of an attempt that is about to be made, by a row of `payments.methods`."""
    is_subsequent = method["network_transaction_id"] is not None
    number = bill.invoice.number or ""
    return ChargeRequest(
        attempt_code=attempt.reference,
        idempotency_key=attempt.idempotency_key,
        amount_minor=attempt.amount,
        currency=attempt.currency,
        payment_method_reference=method["gateway_reference"],
        invoice_number=number,
        description=f"Invoice {number}",
        sequence=Sequence.SUBSEQUENT if is_subsequent else Sequence.INITIAL,
        customer_reference=method["gateway_customer_reference"],
        customer=CustomerDetails(
            ids.show("cus", method["customer_id"]),
            email=method["email"],
            name=method["name"],
            country=method["country"],
        ),
        network_transaction_id=method["network_transaction_id"],
        original_amount_minor=method["network_transaction_amount"],
        method_type=method["type"],
        not_before=not_before,
    )


def frozen(request: ChargeRequest) -> str:
    """All of a request that is no column of its attempt, as JSON."""
    whole = asdict(request)
    kept = {name: value for name, value in whole.items() if name not in COLUMNS}
    return orjson.dumps({k: v for k, v in kept.items() if v is not None}).decode()


def request_again(attempt: Attempt) -> ChargeRequest | None:
    """The request of an attempt exactly as it was first sent; None if it was not written down."""
    if attempt.request is None:
        return None
    given: dict[str, Any] = orjson.loads(attempt.request)
    customer, not_before = given.get("customer"), given.get("not_before")
    given["sequence"] = Sequence(given["sequence"])
    given["customer"] = None if customer is None else CustomerDetails(**customer)
    given["not_before"] = None if not_before is None else datetime.fromisoformat(not_before)
    return ChargeRequest(
        attempt_code=attempt.reference,
        idempotency_key=attempt.idempotency_key,
        amount_minor=attempt.amount,
        currency=attempt.currency,
        **given,
    )


def query_of(attempt: Attempt, method: Row) -> PaymentQuery:
    """How an attempt is looked for: by our reference, with all that may narrow the search."""
    return PaymentQuery(
        reference=attempt.reference,
        created_at=attempt.created_at,
        gateway_reference=attempt.gateway_reference,
        customer_reference=method["gateway_customer_reference"],
        payment_method_reference=method["gateway_reference"],
        amount_minor=attempt.amount,
        currency=attempt.currency,
    )


async def charge(gateway: Gateway, request: ChargeRequest, *, again: bool = False) -> Outcome:
    """One call; what no retry will mend becomes a value too.

    A repetition (`again`) that is refused says nothing about the call before it.
    """
    try:
        return await gateway.charge(request)
    except InvalidRequestError as error:
        logger.error("collect.invalid_request", gateway=gateway.name, reason=str(error))
        if again:
            return NotExecuted("invalid_request")
        return Declined(
            DeclineInfo(
                DeclineCategory.CONFIGURATION,
                DeclineReason.PROCESSING_ERROR,
                error.code or "invalid_request",
                DeclineAdvice.RETRY_LATER,
            )
        )
    except AuthenticationError as error:
        logger.error("collect.credentials_refused", gateway=gateway.name, reason=str(error))
        return NotExecuted("credentials_refused")
    except Exception as error:
        return _faulty(gateway, error)


async def capture(gateway: Gateway, attempt: Attempt, held: Authorized) -> Outcome:
    """Take what is held for an attempt: all of it."""
    request = CaptureRequest(
        idempotency_key=f"{attempt.idempotency_key}-capture",
        payment_reference=held.gateway_reference,
        amount_minor=attempt.amount,
        currency=attempt.currency,
    )
    try:
        return await gateway.capture(request)
    except GatewayError as error:
        # It is held all the same: the next look-up says what became of it.
        logger.error("collect.not_captured", gateway=gateway.name, reason=str(error))
        return held
    except Exception as error:
        return _faulty(gateway, error)


async def void(gateway: Gateway, attempt: Attempt) -> VoidOutcome:
    """Give up what is held for an attempt, or waits for its customer."""
    assert attempt.gateway_reference is not None
    request = VoidRequest(f"{attempt.idempotency_key}-void", attempt.gateway_reference)
    try:
        return await gateway.void(request)
    except GatewayError as error:
        logger.error("collect.not_voided", gateway=gateway.name, reason=str(error))
        return NotExecuted("refused")
    except Exception as error:
        return _faulty(gateway, error)


def _faulty(gateway: Gateway, error: Exception) -> Unknown:
    """A fault in an adapter says nothing about the money: the outcome is not known."""
    logger.error("collect.adapter_fault", gateway=gateway.name, exc_info=error)
    return Unknown(f"adapter_fault_{type(error).__name__}")
