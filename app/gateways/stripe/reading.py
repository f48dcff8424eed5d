"""Stripe's objects in our words. Nothing here sends or decides anything."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from app.domain.dispute import DisputeReport, DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
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
from app.domain.vault import MethodType, SavedMethod
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.stripe import amounts
from app.gateways.stripe.amounts import UnreadableAmount
from app.gateways.stripe.declines import decline_of
from app.gateways.stripe.words import (
    BareIntent,
    Charge,
    Dispute,
    Mandate,
    PaymentError,
    PaymentIntent,
    PaymentMethod,
    Refund,
)

ATTEMPT: Final = "perennial_attempt"
REFUND: Final = "perennial_refund"
SETUP: Final = "perennial_setup"
CUSTOMER: Final = "perennial_customer"
"""Under which our references stand in an object's metadata."""
ON_SESSION: Final = "perennial_on_session"
"""Marks a payment whose secret the customer has: until it is cancelled they may pay it, whatever
became of their last try.
"""
AUTHENTICATE: Final = "authentication_required"
REFUND_FAILURES: Final = MappingProxyType(
    {"insufficient_funds": RefundDeclineReason.INSUFFICIENT_BALANCE}
)
WALLETS: Final = frozenset(
    """
    alipay amazon_pay cashapp grabpay kakao_pay link mobilepay naver_pay paypal revolut_pay
    samsung_pay satispay twint wechat_pay
    """.split()  # noqa: SIM905  one word each, read at a glance
)
DISPUTES: Final = MappingProxyType(
    {
        "appeal_needs_response": DisputeStatus.NEEDS_RESPONSE,
        "appeal_under_review": DisputeStatus.UNDER_REVIEW,
        "lost": DisputeStatus.LOST,
        "needs_response": DisputeStatus.NEEDS_RESPONSE,
        "prevented": DisputeStatus.CLOSED,
        "under_review": DisputeStatus.UNDER_REVIEW,
        "warning_closed": DisputeStatus.CLOSED,
        "warning_needs_response": DisputeStatus.NEEDS_RESPONSE,
        "warning_under_review": DisputeStatus.UNDER_REVIEW,
        "won": DisputeStatus.WON,
    }
)
REFUND_STATUS: Final = MappingProxyType(
    {
        "pending": TransactionStatus.PENDING,
        "requires_action": TransactionStatus.PENDING,
        "succeeded": TransactionStatus.SUCCEEDED,
        "failed": TransactionStatus.FAILED,
        "canceled": TransactionStatus.VOIDED,
    }
)


def moment(seconds: int) -> datetime:
    """Stripe's Unix time as an aware moment."""
    return datetime.fromtimestamp(seconds, UTC)


def outcome_of(intent: PaymentIntent, error: PaymentError | None = None) -> Outcome:
    """How a payment stands; `error` is what just refused it, if the payment does not say itself."""
    try:
        return _outcome(intent, intent.last_payment_error or error)
    except UnreadableAmount:
        return Unknown("unreadable_amount", intent.id)


def _outcome(intent: PaymentIntent, error: PaymentError | None) -> Outcome:
    charge = intent.latest_charge if isinstance(intent.latest_charge, Charge) else None
    network_id = _card(charge, "network_transaction_id")
    currency = intent.currency.upper()
    match intent.status:
        case "succeeded":
            received = amounts.read(intent.amount_received, currency)
            if received <= 0:
                return Unknown("nothing_received", intent.id)
            return Succeeded(intent.id, received, currency, network_id, _fee(charge, currency))
        case "requires_capture":
            held, until = intent.amount_capturable, _card(charge, "capture_before")
            expires_at = moment(until) if until is not None else None
            return Authorized(
                intent.id, amounts.read(held, currency), currency, expires_at, network_id
            )
        case "processing":
            return Pending(intent.id, network_id, _expected_by(intent))
        case "requires_action" | "requires_payment_method" if ON_SESSION in intent.metadata:
            return action_of(intent)
        case "requires_action":
            # Not marked: its next failure will be a decline, so nobody may get what could pay it.
            return RequiresAction(intent.id)
        case "canceled":
            return Voided(intent.id)
        case "requires_payment_method" if error is not None:
            return Declined(decline_of(error), intent.id)
        case "requires_payment_method" | "requires_confirmation":
            # It was made and never tried: perhaps the try is still under way.
            return Unknown(intent.status, intent.id)


def action_of(intent: PaymentIntent) -> RequiresAction:
    """What the customer is given to authenticate the payment."""
    page = intent.next_action.redirect_to_url if intent.next_action else None
    secret = intent.client_secret
    return RequiresAction(
        intent.id,
        action_url=page.url if page else None,
        client_secret=secret.get_secret_value() if secret else None,
    )


def _expected_by(intent: PaymentIntent) -> datetime | None:
    card = intent.processing.card if intent.processing else None
    notice = card.customer_notification if card else None
    return moment(notice.completes_at) if notice and notice.completes_at else None


def _card(charge: Charge | None, name: str) -> Any:
    details = charge.payment_method_details if charge else None
    return getattr(details.card, name) if details and details.card else None


def _fee(charge: Charge | Refund | None, currency: str) -> int | None:
    """What Stripe kept, if it settles in the currency of the charge, in whole units of that."""
    moved = charge.balance_transaction if charge else None
    if moved is None or isinstance(moved, str) or moved.currency.upper() != currency:
        return None
    try:
        return amounts.read(moved.fee, currency)
    except UnreadableAmount:
        return None


def outcome_of_charge(charge: Charge) -> Outcome:
    """How a charge stands that was made without a payment intent, and so not by us."""
    currency = charge.currency.upper()
    network_id = _card(charge, "network_transaction_id")
    try:
        match charge.status:
            case "pending":
                return Pending(charge.id, network_id)
            case "failed":
                error = PaymentError(type="card_error", code=charge.failure_code)
                return Declined(decline_of(error), charge.id)
            case "succeeded" if charge.captured:
                taken = amounts.read(charge.amount_captured, currency)
                if taken <= 0:
                    return Unknown("nothing_received", charge.id)
                return Succeeded(charge.id, taken, currency, network_id, _fee(charge, currency))
            case "succeeded":
                held = amounts.read(charge.amount, currency)
                return Authorized(charge.id, held, currency, network_transaction_id=network_id)
    except UnreadableAmount:
        return Unknown("unreadable_amount", charge.id)


def refund_outcome(refund: Refund) -> RefundOutcome:
    """How a refund stands. One that succeeded may still fail later: the bank sends it back."""
    currency = refund.currency.upper()
    match refund.status:
        case "pending" | "requires_action":
            return RefundPending(refund.id)
        case "failed" | "canceled":
            code = refund.failure_reason or refund.status
            reason = REFUND_FAILURES.get(code, RefundDeclineReason.GENERIC)
            return RefundDeclined(reason, code, refund.id)
        case "succeeded":
            try:
                amount = amounts.read(refund.amount, currency)
                return Refunded(refund.id, amount, currency, _fee(refund, currency))
            except UnreadableAmount:
                return Unknown("unreadable_amount", refund.id)


def saved_method(method: PaymentMethod, mandate: Mandate | None = None) -> SavedMethod:
    """A payment method as it is kept; without a customer it cannot be charged."""
    banks = (
        method.us_bank_account,
        method.sepa_debit,
        method.bacs_debit,
        method.au_becs_debit,
        method.acss_debit,
        method.nz_bank_account,
    )
    bank = next(filter(None, banks), None)
    kept = method.card or bank
    kind = MethodType.BANK_ACCOUNT if bank else MethodType.CARD
    if method.type in WALLETS:
        kind = MethodType.WALLET
    elif method.card is None and bank is None:
        kind = MethodType.MANDATE
    brand = method.card.brand if method.card else bank.bank_name if bank else method.type
    return SavedMethod(
        method.id,
        method.customer,
        kind,
        brand=brand,
        last_four=kept.last4 if kept else None,
        expiry_month=method.card.exp_month if method.card else None,
        expiry_year=method.card.exp_year if method.card else None,
        fingerprint=kept.fingerprint if kept else None,
        mandate=_mandate(mandate),
        is_usable=method.customer is not None and (mandate is None or mandate.status != "inactive"),
    )


def _mandate(mandate: Mandate | None) -> Mapping[str, str]:
    if mandate is None:
        return {}
    said = {"reference": mandate.id, "status": mandate.status, "type": mandate.type}
    for details in mandate.payment_method_details.values():
        # What the bank knows it by, which the customer sees on the statement.
        if isinstance(details, dict) and isinstance(details.get("reference"), str):
            said["bank_reference"] = details["reference"]
    return said


def dispute_report(dispute: Dispute) -> DisputeReport:
    """A dispute as it stands. Raises UnreadableAmount."""
    currency = dispute.currency.upper()
    moved = [one for one in dispute.balance_transactions if one.currency == dispute.currency]
    foreign = [one for one in dispute.balance_transactions if one.currency != dispute.currency]
    withdrawn = -sum(one.amount for one in moved)
    if sum(-1 if one.amount < 0 else 1 for one in foreign) < 0:
        # Settled in another currency: what is taken, and given back, is the dispute's amount, each
        # at the rate of its day; so the movements are counted and not added up.
        withdrawn = dispute.amount
    status = DISPUTES[dispute.status]
    if dispute.status == "prevented" and withdrawn > 0:
        # Prevented by paying it (a resolution, not a block): nothing of that comes back.
        status = DisputeStatus.LOST
    fee = sum(one.fee for one in moved) if moved and not foreign else None
    due_by = dispute.evidence_details.due_by
    return DisputeReport(
        dispute.id,
        dispute.payment_intent or dispute.charge,
        status,
        amounts.read(dispute.amount, currency),
        currency,
        withdrawn_minor=amounts.read(max(withdrawn, 0), currency),
        fee_minor=amounts.read(fee, currency) if fee is not None else None,
        reason=dispute.reason,
        opened_at=moment(dispute.created),
        evidence_due_by=moment(due_by) if due_by else None,
    )


def charge_in_books(charge: Charge) -> GatewayTransaction:
    """A charge as reconciliation wants it. Raises UnreadableAmount."""
    intent = charge.payment_intent
    currency = charge.currency.upper()
    status = _status(charge, intent)
    moved = charge.amount_captured if status is TransactionStatus.SUCCEEDED else charge.amount
    return GatewayTransaction(
        intent.id if isinstance(intent, BareIntent) else intent or charge.id,
        TransactionKind.CHARGE,
        status,
        amounts.read(moved, currency),
        currency,
        moment(charge.created),
        our_reference=charge.metadata.get(ATTEMPT),
        refunded_minor=amounts.read(charge.amount_refunded, currency),
        fee_minor=_fee(charge, currency),
    )


def _status(charge: Charge, intent: BareIntent | str | None) -> TransactionStatus:
    match charge.status:
        case "pending":
            return TransactionStatus.PENDING
        case "failed":
            return TransactionStatus.FAILED
        case "succeeded" if charge.captured:
            return TransactionStatus.SUCCEEDED
        case "succeeded":
            # A hold that was given up stays a charge that succeeded; its payment says the truth.
            is_gone = isinstance(intent, BareIntent) and intent.status == "canceled"
            return TransactionStatus.VOIDED if is_gone else TransactionStatus.AUTHORIZED


def refund_in_books(refund: Refund) -> GatewayTransaction:
    """A refund as reconciliation wants it. Raises UnreadableAmount."""
    currency = refund.currency.upper()
    return GatewayTransaction(
        refund.id,
        TransactionKind.REFUND,
        REFUND_STATUS[refund.status],
        amounts.read(refund.amount, currency),
        currency,
        moment(refund.created),
        our_reference=(refund.metadata or {}).get(REFUND),
        payment_reference=refund.payment_intent or refund.charge,
        fee_minor=_fee(refund, currency),
    )
