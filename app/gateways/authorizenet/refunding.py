"""Refunds: a void while the charge is not settled, a credit afterwards.

Authorize.net credits only what is settled, about a day after the charge. Until then a charge can
only be given back whole, by voiding it. A part of one that is not settled is `NotExecuted`: nothing
was sent, and it may be asked for again when the batch is settled.

The charge is always read first. So no refund is sent blindly, and the only call whose answer can be
lost is the one that moves money.
"""

from typing import Any, Final

from app.domain.outcome import (
    Found,
    NotExecuted,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    Unknown,
)
from app.gateways.authorizenet import charging, looking, states, words
from app.gateways.authorizenet.account import DUPLICATE_WINDOW_SECONDS, Account, checked_code
from app.gateways.authorizenet.answers import Details, Transacted
from app.gateways.authorizenet.api import Reply
from app.gateways.authorizenet.books import BooksUnread
from app.gateways.base import GatewayError
from app.gateways.requests import RefundQuery, RefundRequest

VOIDABLE: Final = "capturedPendingSettlement"
REFUNDABLE: Final = frozenset({"settledSuccessfully", "chargebackReversal"})
"""What a bank took back is not given back a second time."""
UNSETTLED_RETRY_SECONDS: Final = 3_600
DIGITS: Final = 4
"""Of the card's number: what the gateway shows, and wants again."""
REASONS: Final = {
    words.NOT_REFUNDABLE: RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
    **dict.fromkeys(words.EXCEEDS_CAPTURED, RefundDeclineReason.EXCEEDS_CAPTURED),
    **dict.fromkeys(words.NOT_FOUND, RefundDeclineReason.PAYMENT_NOT_FOUND),
}


async def refund(account: Account, request: RefundRequest) -> RefundOutcome:
    """Give money back, in the way that the charge's state allows."""
    checked_code(request.refund_code)
    account.amount(request.amount_minor, request.currency)
    try:
        charge = await account.books.details(request.payment_reference)
        if charge is None or not looking.is_charge(charge):
            return _declined(RefundDeclineReason.PAYMENT_NOT_FOUND, words.RECORD_NOT_FOUND)
        if charge.status in REFUNDABLE and not charge.returned:
            return await _credit(account, charge, request)
        if charge.status in words.SETTLED or charge.status not in words.CAPTURED:
            return _declined(RefundDeclineReason.PAYMENT_NOT_REFUNDABLE, charge.status)
        taken = states.moved(charge, account.currency)
    except BooksUnread as error:
        return NotExecuted(error.cause)
    if request.amount_minor > taken:
        return _declined(RefundDeclineReason.EXCEEDS_CAPTURED, charge.status)
    if request.amount_minor < taken or charge.status != VOIDABLE:
        return NotExecuted("not_settled", UNSETTLED_RETRY_SECONDS)
    return await _void(account, charge, request)


async def _void(account: Account, charge: Details, request: RefundRequest) -> RefundOutcome:
    """Give back a whole charge that is not settled; if it has just been, credit it after all."""
    heard = await charging.voided(account, charge.id, request.refund_code)
    if isinstance(heard, NotExecuted | Unknown):
        return heard
    if charging.did_it(heard, charge.id):
        return Refunded(charge.id + states.VOID_SUFFIX, request.amount_minor, request.currency)
    is_definite = heard.response in charging.DECIDED_AGAINST or heard.code in words.DONE_BEFORE
    if not is_definite:
        return Unknown("contradictory_answer")
    try:
        fresh = await account.books.details(charge.id)
    except BooksUnread as error:
        return NotExecuted(error.cause)
    if fresh is not None and fresh.status in REFUNDABLE and not fresh.returned:
        return await _credit(account, fresh, request)
    if fresh is not None and fresh.status in words.CAPTURED - words.SETTLED:
        return NotExecuted("not_settled", UNSETTLED_RETRY_SECONDS)
    return _declined(RefundDeclineReason.PAYMENT_NOT_REFUNDABLE, heard.code)


async def _credit(account: Account, charge: Details, request: RefundRequest) -> RefundOutcome:
    """Give back a settled charge, or a part of it."""
    payer = _payer(charge, request)
    if not payer:
        return _declined(RefundDeclineReason.PAYMENT_NOT_REFUNDABLE, "no_payment_data")
    window = charging.setting("duplicateWindow", str(DUPLICATE_WINDOW_SECONDS))
    transaction = {
        "transactionType": words.REFUND,
        "amount": account.amount(request.amount_minor, request.currency),
        "currencyCode": request.currency,
        "payment": payer,
        "refTransId": charge.id,
        "order": {"invoiceNumber": request.refund_code},
        "transactionSettings": {"setting": [window]},
    }
    fields = {"refId": request.refund_code, "transactionRequest": transaction}
    heard = await account.api.call("createTransactionRequest", fields)
    if not isinstance(heard, Reply):
        return heard
    transacted = charging.transacted_of(heard)
    if transacted is None:
        return Unknown(heard.code or "unreadable_answer")
    if str(heard.whole.get("refId", request.refund_code)) != request.refund_code:
        return Unknown("answer_for_another_refund", transacted.reference)
    if transacted.code in words.DUPLICATE:
        return await _existing(account, request)
    return _credited(request, heard, transacted)


def _payer(charge: Details, request: RefundRequest) -> dict[str, Any]:
    """Whom the money goes to, as the gateway itself masks it."""
    card, bank = charge.payment.card, charge.payment.bank_account
    if bank is not None:
        return {
            "bankAccount": {
                "accountType": bank.type or "checking",
                "routingNumber": bank.routing,
                "accountNumber": bank.number,
                "nameOnAccount": bank.holder,
            }
        }
    digits = card.number[-DIGITS:] if card is not None else request.last_four or ""
    if not digits:
        return {}
    return {"creditCard": {"cardNumber": digits, "expirationDate": "XXXX"}}


def _credited(request: RefundRequest, reply: Reply, transacted: Transacted) -> RefundOutcome:
    reference = transacted.reference
    if transacted.response == words.HELD:
        return RefundPending(reference)
    if transacted.response in charging.DECIDED_AGAINST:
        reason = REASONS.get(transacted.code, RefundDeclineReason.GENERIC)
        return RefundDeclined(reason, transacted.code, reference)
    if transacted.response != charging.APPROVED or not reply.is_ok:
        return Unknown("contradictory_answer", reference)
    if transacted.moved_nothing:
        return _declined(RefundDeclineReason.GENERIC, "test_mode")
    if reference is None:
        return Unknown("approved_without_transaction")
    return Refunded(reference, request.amount_minor, request.currency)


async def _existing(account: Account, request: RefundRequest) -> RefundOutcome:
    """The refund that this one was refused as a duplicate of."""
    query = RefundQuery(
        reference=request.refund_code,
        payment_reference=request.payment_reference,
        amount_minor=request.amount_minor,
    )
    try:
        found = await looking.find_refund(account, query)
    except GatewayError:  # that would say that nothing was executed
        return Unknown("duplicate_not_shown")
    return found.outcome if isinstance(found, Found) else Unknown("duplicate_not_shown")


def _declined(reason: RefundDeclineReason, code: str) -> RefundDeclined:
    return RefundDeclined(reason, code)
