"""createTransactionRequest and updateHeldTransactionRequest, as the real server decides them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.gateways.fakes.authorizenet.answering import messages, transacted
from tests.gateways.fakes.authorizenet.ledger import CAPTURED, Ledger, Transaction
from tests.gateways.fakes.authorizenet.notices import Notices

DEFAULT_WINDOW_SECONDS = 120
WINDOW_SECONDS_MAX = 28_800
CREDIT_AGE = timedelta(days=180)
REVIEW_SECONDS = 0.4
"""How long a review lasts that ends by itself."""
ERRORS = {"3", "5", "6", "7", "8", "9", "10", "11", "13", "16", "17", "18", "19", "20", "21"}
"""Reasons that come with response code 3; all others are declines. (An excerpt.)"""


class Transactions:
    """The cashier."""

    def __init__(self, ledger: Ledger, notices: Notices) -> None:
        self._ledger = ledger
        self._notices = notices

    def create(self, body: dict[str, Any], *, twice: bool = False) -> dict[str, Any]:
        asked, ref_id = body["transactionRequest"], body.get("refId", "")
        echoed = {"refId": ref_id} if ref_id else {}
        match asked["transactionType"]:
            case "authCaptureTransaction" | "authOnlyTransaction":
                if self._method(asked) is None:
                    return echoed | messages("E00040")
                answer = self._charge(asked, ref_id)
                if twice and answer["responseCode"] == "1":
                    first = self._ledger.transactions[answer["transId"]]
                    self._ledger.add(replace(first, id=self._ledger.new_id()))
            case "priorAuthCaptureTransaction":
                answer = self._capture(asked)
            case "voidTransaction":
                answer = self._void(asked, ref_id)
            case "refundTransaction":
                answer = self._refund(asked, ref_id)
                if twice and answer["responseCode"] == "1":
                    first = self._ledger.transactions[answer["transId"]]
                    self._ledger.add(replace(first, id=self._ledger.new_id()))
            case other:
                raise NotImplementedError(other)
        code = "E00027" if answer["responseCode"] == "3" else "I00001"
        return {"transactionResponse": answer} | echoed | messages(code)

    def decide(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["heldTransactionRequest"]
        held = self._ledger.find(asked["refTransId"])
        if held is None or held.status not in ("FDSPendingReview", "FDSAuthorizedPendingReview"):
            return {"transactionResponse": transacted("3", "16")} | messages("E00027")
        self._ledger.decide(held, asked["action"])
        happened = "approved" if asked["action"] == "approve" else "declined"
        self._notices.tell(f"payment.fraud.{happened}", held)
        return {"transactionResponse": transacted("1", "1", id=held.id)} | messages()

    def _method(self, asked: dict[str, Any]):
        profile = asked["profile"]
        customer = self._ledger.customers.get(profile["customerProfileId"])
        wanted = profile["paymentProfile"]["paymentProfileId"]
        return customer.methods.get(wanted) if customer is not None else None

    def _charge(self, asked: dict[str, Any], ref_id: str) -> dict[str, Any]:
        ledger, method = self._ledger, self._method(asked)
        if self._is_duplicate(asked, (method.card.number, method.card.expiry)):
            return transacted("3", "11", number=method.card.number, brand=method.card.brand)
        made = Transaction(
            id=ledger.new_id(),
            type=asked["transactionType"],
            status="declined",
            amount=Decimal(asked["amount"]),
            submitted_at=ledger.now(),
            invoice=asked.get("order", {}).get("invoiceNumber", ""),
            description=asked.get("order", {}).get("description", ""),
            ref_id=ref_id,
            customer=method.customer,
            method=method.id,
            card=method.card,
        )
        made.network_id = f"NT{made.id}"
        response = self._judge(made)
        ledger.add(made)
        happened = {"1": "authorization" if made.type.startswith("authOnly") else "authcapture"}
        if response == "1":
            self._notices.tell(f"payment.{happened[response]}.created", made)
        if response == "4":
            self._notices.tell("payment.fraud.held", made)
        return transacted(
            response,
            made.reason,
            id=made.id,
            network_id=made.network_id,
            profile=(made.customer, made.method),
            number=method.card.number,
            brand=method.card.brand,
        )

    def _judge(self, made: Transaction) -> str:
        """What the bank and the fraud filters say; the response code."""
        behaves = made.card.behaves
        if behaves.startswith("declined_"):
            made.reason = behaves.removeprefix("declined_")
            if made.reason in ERRORS:
                made.status = "generalError"
                return "3"
            return "2"
        if behaves.startswith("held"):
            made.status, made.reason = "FDSPendingReview", "253"
            _, _, ending = behaves.partition("_then_")
            if ending:
                until = self._ledger.now() + timedelta(seconds=REVIEW_SECONDS)
                made.decides = (until, "approve" if ending == "succeeds" else "decline")
            return "4"
        if made.type == "authOnlyTransaction":
            made.status = "authorizedPendingCapture"
        else:
            made.status, made.settling = "capturedPendingSettlement", made.amount
        return "1"

    def _is_duplicate(self, asked: dict[str, Any], card: tuple[str, str]) -> bool:
        """Whether one like it was submitted within the window that this one asks for."""
        settings = {
            s["settingName"]: s["settingValue"]
            for s in asked.get("transactionSettings", {}).get("setting", [])
        }
        window = min(
            int(settings.get("duplicateWindow", DEFAULT_WINDOW_SECONDS)), WINDOW_SECONDS_MAX
        )
        invoice = asked.get("order", {}).get("invoiceNumber", "")
        like = (asked["transactionType"], asked["amount"], invoice, card)
        now, (_, before) = self._ledger.now(), self._ledger.submissions.get(like, ("", None))
        if before is not None and now - before < timedelta(seconds=window):
            return True
        self._ledger.submissions[like] = ("", now)
        return False

    def _capture(self, asked: dict[str, Any]) -> dict[str, Any]:
        held = self._ledger.find(asked["refTransId"])
        if held is None or held.type != "authOnlyTransaction":
            return transacted("3", "16", origin=asked["refTransId"])
        if held.status in CAPTURED:
            return transacted("1", "311", id=held.id, origin=held.id)
        if held.status != "authorizedPendingCapture":
            return transacted("3", "16", origin=held.id)
        amount = Decimal(asked["amount"])
        if amount > held.amount:
            return transacted("3", "47", origin=held.id)
        held.status, held.settling = "capturedPendingSettlement", amount
        self._notices.tell("payment.priorAuthCapture.created", held)
        if self._ledger.settles_at_once:
            self._ledger.settle()
        return transacted("1", "1", id=held.id, origin=held.id, network_id=held.network_id)

    def _void(self, asked: dict[str, Any], ref_id: str) -> dict[str, Any]:
        found = self._ledger.find(asked["refTransId"])
        if found is None:
            return transacted("3", "16", origin=asked["refTransId"])
        if self._ledger.settles_before_void:
            self._ledger.settle()
        if found.status == "voided":
            return transacted("1", "310", id=found.id, origin=found.id)
        open_to_it = (
            "authorizedPendingCapture",
            "capturedPendingSettlement",
            "refundPendingSettlement",
            "FDSAuthorizedPendingReview",
        )
        if found.status not in open_to_it:
            return transacted("3", "16", origin=found.id)
        found.status, found.voided_by = "voided", ref_id
        self._notices.tell("payment.void.created", found)
        return transacted("1", "1", id=found.id, origin=found.id)

    def _refund(self, asked: dict[str, Any], ref_id: str) -> dict[str, Any]:
        ledger, charge = self._ledger, self._ledger.find(asked["refTransId"])
        if charge is None or charge.type == "refundTransaction":
            return transacted("3", "16", origin=asked["refTransId"])
        digits = asked["payment"]["creditCard"]["cardNumber"]
        too_old = ledger.now() - charge.submitted_at > CREDIT_AGE
        settled = charge.status in ("settledSuccessfully", "chargebackReversal")
        if not settled or too_old or charge.card.number[-4:] != digits[-4:]:
            return transacted("3", "54", origin=charge.id)
        if self._is_duplicate(asked, (digits, charge.id)):
            return transacted("3", "11", origin=charge.id)
        amount = Decimal(asked["amount"])
        if ledger.credited(charge) + amount > charge.settling:
            return transacted("3", "55", origin=charge.id)
        made = Transaction(
            id=ledger.new_id(),
            type="refundTransaction",
            status="refundPendingSettlement",
            amount=amount,
            submitted_at=ledger.now(),
            invoice=asked.get("order", {}).get("invoiceNumber", ""),
            ref_id=ref_id,
            card=charge.card,
            origin=charge.id,
        )
        behaves = charge.card.behaves
        response, made.reason = "1", "1"
        if behaves.startswith("refund_declined_"):
            made.status, made.reason = "declined", behaves.removeprefix("refund_declined_")
            response = "2"
        elif behaves.startswith("refund_held"):
            made.status, made.reason, response = "FDSPendingReview", "253", "4"
            until = ledger.now() + timedelta(seconds=REVIEW_SECONDS)
            made.decides = (until, "approve")
        ledger.add(made)
        if response == "1":
            self._notices.tell("payment.refund.created", made)
        return transacted(response, made.reason, id=made.id, origin=charge.id)
