"""What the fake does when it is asked to move money: debits, captures, refunds, disputes.

A token's behaviour says how a debit on it ends: `ok`, a reason of failure, `late` (fails unclear
and is authorised two days later), `late_held` (the same, and stays authorised), `slow:REASON` and
`slow` (a moment later), `waits:REASON` and `waits` (by the bank's own timetable, or at `settle`).
`refund_fails` and `refund_pending` succeed, and their refunds do not, or not at once.
"""

import hashlib
import hmac
from typing import Any

from tests.gateways.fakes.razorpay.books import (
    CARD_NOTICE,
    LATE_AFTER,
    UPI_NOTICE,
    Books,
    Refused,
)

SLOW_SECONDS = 0.5
WAITS = {"slow": SLOW_SECONDS, "waits": 36 * 3600}
GOOD = frozenset({"ok", "refund_fails", "refund_pending", "slow", "waits", "held"})


def signed(order_id: str, payment_id: str, secret: str) -> str:
    message = f"{order_id}|{payment_id}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def recurring(books: Books, body: dict[str, Any], secret: str) -> dict[str, Any]:
    """A payment on a token: accepted, and decided later, or refused at once."""
    order = books.found("orders", body["order_id"])
    if order["status"] == "paid":
        raise Refused(
            "Your payment has been declined as the order is already paid. Please initiate the "
            "payment with a new order.",
            reason="order_already_paid",
        )
    if (body["amount"], body["currency"]) != (order["amount"], order["currency"]):
        raise Refused("Your payment amount is different from your order amount.")
    token = books.held(body["customer_id"], body["token"])
    standing = token["recurring_details"]["status"]
    if standing != "confirmed":
        raise Refused(f"The token is {standing} and cannot be charged.")
    if body["amount"] > token.get("max_amount", 10**12):
        raise Refused("Amount exceeds maximum amount allowed")
    _check_notice(books, order, token)
    payment = books.payment(order, body, token["method"])
    behaviour = books.behaviours[token["id"]]
    wait = WAITS.get(behaviour.partition(":")[0], books.settle_seconds)
    books.at(books.now() + wait, lambda: _debit(books, payment, behaviour))
    books.catch_up()
    if payment["status"] == "failed" and behaviour.startswith("at_once:"):
        raise Refused(
            "Your payment could not be completed.",
            reason=payment["error_reason"],
            payment_id=payment["id"],
        )
    return {
        "razorpay_payment_id": payment["id"],
        "razorpay_order_id": order["id"],
        "razorpay_signature": signed(order["id"], payment["id"], secret),
    }


def _check_notice(books: Books, order: dict[str, Any], token: dict[str, Any]) -> None:
    """An order with a notice is debited by hand, and not before the notice is old enough."""
    notice = order.get("notification")
    if notice is None:
        return
    if notice["status"] != "delivered":
        raise Refused("The customer was not told.", reason="pre_debit_notification_not_sent")
    age = UPI_NOTICE if token["method"] == "upi" else CARD_NOTICE
    if books.now() < max(notice["delivered_at"] + age, notice.get("payment_after") or 0):
        raise Refused("BAD_REQUEST_MANDATE_PROMISED_DEBIT_DATE_NOT_HONOURED", reason="NA")


def settle(books: Books) -> None:
    """No time passes, but the banks decide whatever they are at work on, and every notice is old
    enough.
    """
    for order in books.orders.values():
        if order.get("notification") is not None:
            order["notification"]["delivered_at"] = books.seconds() - CARD_NOTICE
    for payment in list(books.payments.values()):
        if payment["token_id"] is not None:
            _debit(books, payment, books.behaviours[payment["token_id"]])
    for made in list(books.refunds.values()):
        _process(books, made, books.payments[made["payment_id"]])


def _debit(books: Books, payment: dict[str, Any], behaviour: str) -> None:
    if payment["status"] != "created":
        return
    token = books.tokens[payment["token_id"]]
    standing = token["recurring_details"]["status"]
    for prefix in ("at_once:", "slow:", "waits:"):
        behaviour = behaviour.removeprefix(prefix)
    if standing in {"cancelled", "paused"} or token.get("deleted"):
        books.fail(payment, "mandate_not_active")
    elif behaviour in GOOD:
        books.succeed(payment, holds=behaviour == "held")
    elif behaviour in {"late", "late_held"}:
        books.fail(payment, "payment_timed_out")
        holds = behaviour == "late_held"
        books.at(books.now() + LATE_AFTER, lambda: books.succeed(payment, holds=holds))
    else:
        books.fail(payment, behaviour)


def capture(books: Books, payment_id: str, body: dict[str, Any]) -> dict[str, Any]:
    payment = books.found("payments", payment_id)
    if payment["status"] == "captured":
        raise Refused("This payment has already been captured")
    if payment["status"] != "authorized":
        raise Refused(
            "Only payments which have been authorized and not yet captured can be captured"
        )
    if (body["amount"], body["currency"]) != (payment["amount"], payment["currency"]):
        raise Refused("Capture amount must be equal to the amount authorized")
    books.capture(payment)
    return payment


def refund(books: Books, payment_id: str, body: dict[str, Any], key: str | None) -> dict[str, Any]:
    if key is not None and key in books.keys:
        asked, refund_id = books.keys[key]
        if asked != [payment_id, body]:
            raise Refused(
                "Different request with the same idempotency key has already been processed.",
                reason="NA",
            )
        return books.refunds[refund_id]
    payment = books.found("payments", payment_id)
    if payment["status"] == "refunded":
        raise Refused("The payment has been fully refunded already")
    if payment["status"] != "captured":
        raise Refused("The payment status should be captured for action to be taken")
    if payment["amount_refunded"] + body["amount"] > payment["amount"]:
        raise Refused("The refund amount provided is greater than amount captured")
    made = _refund(books, payment, body)
    if key is not None:
        books.keys[key] = ([payment_id, body], made["id"])
    return made


def _refund(books: Books, payment: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    behaviour = books.behaviours.get(payment["token_id"] or "", "ok")
    speed = body.get("speed", "normal")
    made = {
        "id": books.id("rfnd"),
        "entity": "refund",
        "amount": body["amount"],
        "currency": payment["currency"],
        "payment_id": payment["id"],
        "notes": body.get("notes") or [],
        "receipt": body.get("receipt"),
        "acquirer_data": {"arn": None},
        "created_at": books.seconds(),
        "batch_id": None,
        "status": "failed" if behaviour == "refund_fails" else "pending",
        "speed_processed": "instant" if speed == "optimum" else "normal",
        "speed_requested": speed,
    }
    books.refunds[made["id"]] = made
    books.tell("refund.created", refund=made, payment=payment)
    if behaviour == "refund_fails":
        books.tell("refund.failed", refund=made, payment=payment)
        return made
    payment["amount_refunded"] += body["amount"]
    payment["refund_status"] = "partial"
    if payment["amount_refunded"] == payment["amount"]:
        payment |= {"status": "refunded", "refund_status": "full"}
    wait = SLOW_SECONDS if behaviour == "refund_pending" else 0
    books.at(books.now() + wait, lambda: _process(books, made, payment))
    books.catch_up()
    return made


def _process(books: Books, made: dict[str, Any], payment: dict[str, Any]) -> None:
    if made["status"] != "pending":
        return
    made |= {"status": "processed", "acquirer_data": {"arn": "10000000000000"}}
    books.moved.append(
        {
            "kind": "refund",
            "id": made["id"],
            "reference": made["receipt"],
            "amount": made["amount"],
            "currency": made["currency"],
            "created_at": made["created_at"],
        }
    )
    books.tell("refund.processed", refund=made, payment=payment)


def checkout(books: Books, body: dict[str, Any], secret: str) -> dict[str, Any]:
    """The customer pays the order of a set-up in Checkout, by the method it is for."""
    order = books.found("orders", body["order_id"])
    method, ends = order.get("method", "card"), body.get("ends", "confirmed")
    details = {"customer_id": order["customer_id"], "notes": dict(order["notes"] or {})}
    payment = books.payment(order, details, method)
    if ends == "failed":
        books.fail(payment, body.get("reason", "authentication_failed"))
        return payment
    terms = order.get("token", {})
    token = books.token(
        order["customer_id"],
        method,
        body.get("behaves", "ok"),
        max_amount=terms.get("max_amount", 10**12),
    )
    payment["token_id"] = token["id"]
    token["recurring_details"] = {"status": ends, "failure_reason": body.get("reason")}
    if body.get("by_failing"):
        books.fail(payment, "upi_dummy_payment")
    else:
        books.succeed(payment)
    if ends != "initiated":
        books.stand(token["id"], ends, body.get("reason"))
    return {
        "razorpay_payment_id": payment["id"],
        "razorpay_order_id": order["id"],
        "razorpay_signature": signed(order["id"], payment["id"], secret),
    }


def dispute(books: Books, body: dict[str, Any]) -> dict[str, Any]:
    """A customer's bank opens a dispute, or decides one."""
    if "id" in body:
        known = books.found("disputes", body["id"])
        known["status"] = body["status"]
        if body["status"] == "lost":
            known["amount_deducted"] = known["amount"]
        event = {"open": "created"}.get(body["status"], body["status"])
        payment = books.found("payments", known["payment_id"])
        books.tell(f"payment.dispute.{event}", payment=payment, dispute=known)
        return known
    payment = books.found("payments", body["payment_id"])
    made = {
        "id": books.id("disp"),
        "entity": "dispute",
        "payment_id": payment["id"],
        "amount": body.get("amount", payment["amount"]),
        "currency": payment["currency"],
        "amount_deducted": 0,
        "reason_code": "chargeback",
        "respond_by": books.seconds() + 7 * 86_400,
        "status": "open",
        "phase": "chargeback",
        "created_at": books.seconds(),
    }
    books.disputes[made["id"]] = made
    books.tell("payment.dispute.created", payment=payment, dispute=made)
    return made
