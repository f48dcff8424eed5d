"""Charges, captures and voids.

There is no idempotency key here. The belt is the duplicate window: a second charge with the same
reference within eight hours is refused, which says that the first one exists. It is never a licence
to send again: a lost answer is looked up.
"""

from typing import Any, Final

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    NotExecuted,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
    VoidOutcome,
)
from app.gateways.authorizenet import looking, states, words
from app.gateways.authorizenet.account import (
    DUPLICATE_WINDOW_SECONDS,
    Account,
    checked_code,
    checked_id,
)
from app.gateways.authorizenet.answers import Details, Transacted, Unreadable, minor_units, read
from app.gateways.authorizenet.api import Reply
from app.gateways.authorizenet.books import BooksUnread
from app.gateways.base import GatewayError, InvalidRequestError
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    PaymentQuery,
    Sequence,
    VoidRequest,
)

DESCRIPTION_CHARS: Final = 255
APPROVED: Final = "1"
DECIDED_AGAINST: Final = ("2", "3")
"""Declined, and could not be processed: definite, both."""
MORE_THAN_HELD: Final = "47"


async def charge(account: Account, request: ChargeRequest) -> Outcome:
    """Take money off-session, or hold it."""
    fields = {"refId": checked_code(request.attempt_code), "transactionRequest": {}}
    fields["transactionRequest"] = _charge_body(account, request)
    heard = await account.api.call("createTransactionRequest", fields)
    if not isinstance(heard, Reply):
        return heard
    transacted = transacted_of(heard)
    if transacted is None:
        if heard.code in words.DECLINES:
            return Declined(words.decline_of(heard.code))
        return Unknown(heard.code or "unreadable_answer")
    if not _is_for(request, heard, transacted):
        return Unknown("answer_for_another_charge", transacted.reference)
    if transacted.code in words.DUPLICATE:
        return await _existing(account, request, transacted.reference)
    return _charged(account, request, heard, transacted)


def _charge_body(account: Account, request: ChargeRequest) -> dict[str, Any]:
    """The transaction, its elements in the schema's order."""
    is_first = request.sequence is Sequence.INITIAL
    body: dict[str, Any] = {
        "transactionType": "authCaptureTransaction" if request.is_captured else words.HOLD,
        "amount": account.amount(request.amount_minor, request.currency),
        "currencyCode": request.currency,
        "profile": {
            "customerProfileId": checked_id(request.customer_reference, "customer_reference"),
            "paymentProfile": {
                "paymentProfileId": checked_id(
                    request.payment_method_reference, "payment_method_reference"
                )
            },
        },
        "order": {
            "invoiceNumber": request.attempt_code,
            "description": request.description[:DESCRIPTION_CHARS],
        },
        "transactionSettings": {
            "setting": [
                setting("allowPartialAuth", "false"),
                setting("duplicateWindow", str(DUPLICATE_WINDOW_SECONDS)),
                setting("recurringBilling", "true"),
            ]
        },
        "processingOptions": {"isFirstRecurringPayment" if is_first else "isSubsequentAuth": True},
    }
    original = _original(account, request)
    return body | {"subsequentAuthInformation": original} if original else body


def _original(account: Account, request: ChargeRequest) -> dict[str, str]:
    """The first charge of the series, for one that follows it; empty when it is not known."""
    if request.sequence is Sequence.INITIAL or not request.network_transaction_id:
        return {}
    known = {"originalNetworkTransId": request.network_transaction_id}
    if request.original_amount_minor:
        amount = account.amount(request.original_amount_minor, request.currency)
        known["originalAuthAmount"] = amount
    return known


def setting(name: str, value: str) -> dict[str, str]:
    """One setting of a transaction."""
    return {"settingName": name, "settingValue": value}


def transacted_of(reply: Reply) -> Transacted | None:
    """What the answer says of a transaction; None when it speaks of none, or not clearly."""
    try:
        return read(Transacted, reply.whole.get("transactionResponse"))
    except Unreadable:
        return None


def _is_for(request: ChargeRequest, reply: Reply, transacted: Transacted) -> bool:
    """Whether the answer is to this request, as far as it says for which it is."""
    if str(reply.whole.get("refId", request.attempt_code)) != request.attempt_code:
        return False
    said = transacted.profile
    asked = (request.customer_reference, request.payment_method_reference)
    return said is None or not said.method or (said.customer, said.method) == asked


def _charged(
    account: Account, request: ChargeRequest, reply: Reply, transacted: Transacted
) -> Outcome:
    reference, network = transacted.reference, transacted.network_id
    if transacted.response == words.HELD:
        return Pending(reference, network)
    if transacted.response in DECIDED_AGAINST:
        return Declined(words.decline_of(transacted.code), reference, network)
    if transacted.response != APPROVED or not reply.is_ok:
        return Unknown("contradictory_answer", reference)
    if transacted.moved_nothing:
        # The account is in test mode: it approves everything and moves nothing.
        return Declined(words.decline_of("test_mode"))
    if reference is None:
        return Unknown("approved_without_transaction")
    amount = request.amount_minor
    if transacted.prepaid is not None and transacted.prepaid.approved is not None:
        try:
            amount = minor_units(transacted.prepaid.approved, account.currency)
        except Unreadable:
            return Unknown("unreadable_amount", reference)
    if not request.is_captured:
        return Authorized(reference, amount, account.currency, network_transaction_id=network)
    return Succeeded(reference, amount, account.currency, network)


async def _existing(account: Account, request: ChargeRequest, reference: str | None) -> Outcome:
    """The charge that this one is a duplicate of: it has our reference, so it is ours."""
    query = PaymentQuery(
        reference=request.attempt_code,
        gateway_reference=reference,
        customer_reference=request.customer_reference,
    )
    try:
        found = await looking.find_payment(account, query)
    except GatewayError:  # that would say that nothing was executed
        return Unknown("duplicate_not_shown")
    return found.outcome if isinstance(found, Found) else Unknown("duplicate_not_shown")


async def capture(account: Account, request: CaptureRequest) -> Outcome:
    """Take what was held. What was captured before is found so, never captured twice."""
    reference = checked_id(request.payment_reference, "payment_reference")
    transaction = {
        "transactionType": "priorAuthCaptureTransaction",
        "amount": account.amount(request.amount_minor, request.currency),
        "currencyCode": request.currency,
        "refTransId": reference,
    }
    heard = await _transact(account, reference, transaction)
    if isinstance(heard, NotExecuted | Unknown):
        return heard
    if did_it(heard, reference):
        return Succeeded(reference, request.amount_minor, request.currency, heard.network_id)
    if heard.response not in DECIDED_AGAINST and heard.code not in words.DONE_BEFORE:
        return Unknown("contradictory_answer", reference)
    if heard.code == MORE_THAN_HELD:
        raise InvalidRequestError("That is more than is held.", code=heard.code, param="amount")
    try:
        details = await account.books.details(reference)
        state = states.charge_state(details, account.currency) if details is not None else None
    except BooksUnread as error:
        return Unknown(error.cause, reference)
    if state is None:
        raise InvalidRequestError("There is nothing held by this name.", code=heard.code)
    if isinstance(state, Authorized) and heard.code in words.DONE_BEFORE:
        return Unknown("captured_but_not_shown", reference)
    if isinstance(state, Authorized):
        return Declined(words.decline_of(heard.code), reference)
    return state


def did_it(heard: Transacted, reference: str) -> bool:
    """Whether this very call did something to the transaction."""
    is_approved = heard.response == APPROVED and heard.code not in words.DONE_BEFORE
    return is_approved and heard.reference == reference and heard.is_test != "1"


async def void(account: Account, request: VoidRequest) -> VoidOutcome:
    """Give up what is held or under review; what was captured is left alone."""
    try:
        details = await account.books.details(request.payment_reference)
    except BooksUnread as error:
        return NotExecuted(error.cause)
    if details is None or not looking.is_charge(details):
        return VoidDeclined(VoidDeclineReason.NOT_FOUND, words.RECORD_NOT_FOUND)
    if details.status in words.UNDER_REVIEW:
        return await _refuse(account, details)
    if details.status not in words.AUTHORIZED:
        return _as_it_stands(details)
    heard = await voided(account, details.id, details.id)
    if isinstance(heard, NotExecuted | Unknown):
        return heard
    if did_it(heard, details.id):
        return Voided(details.id)
    return await _after_all(account, details.id)


def _as_it_stands(details: Details) -> VoidOutcome:
    if details.status in words.GIVEN_UP:
        return Voided(details.id)
    reason = VoidDeclineReason.NOT_VOIDABLE
    if details.status in words.CAPTURED:
        reason = VoidDeclineReason.ALREADY_CAPTURED
    return VoidDeclined(reason, details.status)


async def _refuse(account: Account, details: Details) -> VoidOutcome:
    """Decide a review against the transaction."""
    held = {"action": "decline", "refTransId": details.id}
    fields = {"refId": details.id, "heldTransactionRequest": held}
    heard = await account.api.call("updateHeldTransactionRequest", fields)
    if not isinstance(heard, Reply):
        return heard
    return await _after_all(account, details.id)


async def _after_all(account: Account, reference: str) -> VoidOutcome:
    """How it stands after something was tried with it."""
    try:
        details = await account.books.details(reference)
    except BooksUnread as error:
        return Unknown(error.cause, reference)
    if details is None:
        return Unknown("listed_but_not_found", reference)
    if details.status in words.DECLINED:
        return Voided(reference)
    return _as_it_stands(details)


async def voided(account: Account, reference: str, ours: str) -> Transacted | NotExecuted | Unknown:
    """Void a transaction, whatever it is; `ours` is echoed."""
    transaction = {"transactionType": "voidTransaction", "refTransId": reference}
    return await _transact(account, ours, transaction)


async def _transact(
    account: Account, ours: str, transaction: dict[str, Any]
) -> Transacted | NotExecuted | Unknown:
    """A transaction on another one."""
    fields = {"refId": ours, "transactionRequest": transaction}
    heard = await account.api.call("createTransactionRequest", fields)
    if not isinstance(heard, Reply):
        return heard
    transacted = transacted_of(heard)
    if transacted is None:
        return Unknown(heard.code or "unreadable_answer")
    return transacted
