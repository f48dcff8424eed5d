"""What this Stripe does with money and payment methods, as its documents say it does."""

from typing import Any

from tests.gateways.fakes.stripe import objects
from tests.gateways.fakes.stripe.books import Books, Refused, missing
from tests.gateways.fakes.stripe.cards import Card, behaviour
from tests.gateways.fakes.stripe.objects import Object

PENDING_MS = 500
HOLD_SECONDS = 7 * 86_400
DISPUTE_FEE = 1_500
IN_HUNDREDS = frozenset({"isk", "ugx"})
IN_TENS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
VOIDABLE = frozenset(
    {"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}
)


def fee_of(amount: int) -> int:
    return min(amount // 40 + 25, amount)


def check_amount(amount: int, currency: str) -> None:
    if not 1 <= amount <= 99_999_999:
        raise Refused(400, code="amount_too_large", param="amount", message="Up to 8 digits.")
    step = 100 if currency in IN_HUNDREDS else 10 if currency in IN_TENS else 1
    if amount % step:
        code = "invalid_charge_amount_no_decimal_compatible" if step == 100 else "invalid_amount"
        raise Refused(400, code=code, param="amount", message=f"In steps of {step}.")


class Bank:
    """Payments, refunds, disputes and set-ups."""

    def __init__(self, books: Books) -> None:
        self.books = books

    # ── customers and what they pay with ──────────────────────────────────────────────────────────

    def customer(self, said: Object) -> Object:
        if "@" not in said.get("email", "@"):
            raise Refused(400, code="email_invalid", param="email", message="Invalid email.")
        made = objects.customer(self.books.name("cus"), self.books.now(), said)
        return self.books.keep(made)

    def method(self, name: str, customer: str | None) -> Object:
        """A payment method that behaves like a test one, kept for the customer if there is one."""
        card = behaviour(name)
        if card is None:
            raise missing("PaymentMethod", name, param="payment_method")
        owner = self._owner(customer)
        kept = objects.payment_method(self.books.name("pm"), self.books.now(), card, owner)
        self.books.cards[kept["id"]] = card
        self.books.keep(kept)
        if owner:
            self.books.tell("payment_method.attached", kept)
        return kept

    def _owner(self, customer: str | None) -> Object | None:
        if customer is None:
            return None
        return self.books.get("customer", customer, param="customer")

    def _chosen(self, name: str, customer: str | None) -> Object:
        if behaviour(name) is not None:
            return self.method(name, customer)
        chosen = self.books.objects.get(name, {"object": ""})
        if chosen["object"] != "payment_method":
            raise missing("PaymentMethod", name, param="payment_method")
        if chosen["customer"] is None:
            message = "The provided PaymentMethod was previously used or detached."
            raise Refused(400, param="payment_method", message=message)
        if chosen["customer"] != customer:
            message = "The payment method belongs to a customer; name that customer."
            raise Refused(400, param="payment_method", message=message)
        return chosen

    def detach(self, id: str) -> Object:
        kept = self.books.get("payment_method", id, param="payment_method", status=404)
        if kept["customer"] is None:
            message = "The payment method you provided is not attached to a customer."
            raise Refused(400, message=message)
        kept["customer"] = None
        self.books.tell("payment_method.detached", kept)
        return kept

    # ── payments ──────────────────────────────────────────────────────────────────────────────────

    def pay(self, said: Object, decline_code: str | None = None) -> Object:
        """POST /v1/payment_intents with confirm and off_session."""
        said["amount"] = int(said["amount"])
        check_amount(said["amount"], said["currency"])
        if said.get("off_session") and said.get("confirm") != "true":
            raise Refused(400, param="off_session", message="Only with confirm=true.")
        ways = said.get("automatic_payment_methods", {})
        if "return_url" not in said and ways.get("allow_redirects") != "never":
            raise Refused(400, param="return_url", message="You must provide a return_url.")
        self._owner(said.get("customer"))
        chosen = self._chosen(said["payment_method"], said.get("customer"))
        card = self.books.cards[chosen["id"]]
        if decline_code is not None:
            card = Card(error={"code": "card_declined", "decline_code": decline_code})
        said = said | {"payment_method": chosen["id"]}
        intent = self.books.keep(
            objects.payment_intent(self.books.name("pi"), self.books.now(), said)
        )
        self._try(intent, card, on_session=False)
        return intent

    def _try(self, intent: Object, card: Card, *, on_session: bool) -> None:
        error = card.error
        if card.needs_customer and not on_session:
            error = {"code": "authentication_required", "decline_code": "authentication_required"}
        taken = objects.charge(self.books.name("ch"), self.books.now(), intent, card)
        self.books.keep(taken)
        intent["latest_charge"] = taken["id"]
        intent["last_payment_error"] = None
        if error is not None:
            self._declined(intent, taken, error)
            raise Refused(402, intent=intent["id"], stored=True, **intent["last_payment_error"])
        if card.pending is not None:
            taken["status"], intent["status"] = "pending", "processing"
            intent["_due"] = (self.books.clock.now().timestamp() * 1000 + PENDING_MS, card)
            self.books.tell("payment_intent.processing", intent)
            self.books.tell("charge.pending", taken)
            return
        if intent["capture_method"] == "manual":
            intent["status"] = "requires_capture"
            intent["amount_capturable"] = intent["amount"]
            until = self.books.now() + HOLD_SECONDS
            taken["payment_method_details"]["card"]["capture_before"] = until
            self.books.tell("payment_intent.amount_capturable_updated", intent)
            self.books.tell("charge.succeeded", taken)
            return
        self._take(intent, taken, intent["amount"])

    def _take(self, intent: Object, taken: Object, amount: int) -> None:
        """Money moves."""
        books = self.books
        moved = objects.balance_transaction(
            books.name("txn"), books.now(), taken, amount, fee_of(amount)
        )
        books.keep(moved)
        taken |= {
            "status": "succeeded",
            "captured": True,
            "amount_captured": amount,
            "balance_transaction": moved["id"],
        }
        intent |= {
            "status": "succeeded",
            "amount_received": amount,
            "amount_capturable": 0,
            "processing": None,
            "next_action": None,
        }
        books.move("charge", taken, amount, intent["metadata"].get("perennial_attempt"))
        books.tell("charge.succeeded", taken)
        books.tell("payment_intent.succeeded", intent)
        card = books.cards[intent["payment_method"]]
        if card.dispute is not None:
            self.dispute(taken["id"], card.dispute)

    def _declined(self, intent: Object, taken: Object, error: Any) -> None:
        message = "Your payment method was declined."
        said = {"type": "card_error", "message": message, "charge": taken["id"], **error}
        said["payment_method"] = self.books.shown(self.books.objects[intent["payment_method"]])
        taken |= {"status": "failed", "paid": False, "failure_code": said["code"]}
        taken["failure_message"] = said["message"]
        advice = ("advice_code", "network_advice_code", "network_decline_code")
        taken["outcome"] |= {name: error.get(name) for name in advice}
        taken["outcome"] |= {"type": "issuer_declined", "reason": error.get("decline_code")}
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": said,
            "processing": None,
            "next_action": None,
        }
        self.books.tell("charge.failed", taken)
        self.books.tell("payment_intent.payment_failed", intent)

    def act(self, id: str, secret: str, verdict: str) -> Object:
        """The customer's part in the shop's page: Stripe.js begins, and the bank says yes or no."""
        intent = self.books.get("payment_intent", id, param="intent")
        assert secret == intent["client_secret"], "not this customer's payment"
        assert intent["status"] in {"requires_payment_method", "requires_action"}
        if verdict == "begin":
            url = f"https://hooks.stripe.com/redirect/authenticate/{id}"
            page = {"return_url": "https://shop.example/back", "url": url}
            intent["status"] = "requires_action"
            intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": page}
            self.books.tell("payment_intent.requires_action", intent)
        elif verdict == "refuse":
            taken = self.books.objects[intent["latest_charge"]]
            error = {"code": "payment_intent_authentication_failure"}
            self._declined(intent, taken, error)
        else:
            self._try(intent, Card(), on_session=True)
        return intent

    def update(self, id: str, said: Object) -> Object:
        """Whatever is updated clears the last error, as Stripe's reference has it."""
        intent = self._intent(id)
        intent["metadata"] = intent["metadata"] | said.get("metadata", {})
        intent["last_payment_error"] = None
        return intent

    def capture(self, id: str, said: Object) -> Object:
        intent = self._intent(id)
        if intent["status"] != "requires_capture":
            raise self._unexpected(intent, "captured")
        amount = int(said.get("amount_to_capture", intent["amount_capturable"]))
        if not 0 < amount <= intent["amount_capturable"]:
            raise Refused(
                400, code="amount_too_large", param="amount_to_capture", message="Too much."
            )
        taken = self.books.objects[intent["latest_charge"]]
        self._take(intent, taken, amount)
        self.books.tell("charge.captured", taken)
        return intent

    def cancel(self, id: str, said: Object) -> Object:
        intent = self._intent(id)
        if intent["status"] not in VOIDABLE:
            raise self._unexpected(intent, "canceled")
        intent |= {
            "status": "canceled",
            "canceled_at": self.books.now(),
            "cancellation_reason": said.get("cancellation_reason"),
            "amount_capturable": 0,
            "next_action": None,
        }
        self.books.tell("payment_intent.canceled", intent)
        return intent

    def _intent(self, id: str) -> Object:
        return self.books.get("payment_intent", id, param="intent", status=404)

    def _unexpected(self, intent: Object, wish: str) -> Refused:
        message = f"This PaymentIntent could not be {wish}: it is {intent['status']}."
        code = "payment_intent_unexpected_state"
        return Refused(400, intent=intent["id"], stored=True, code=code, message=message)

    # ── refunds and disputes ──────────────────────────────────────────────────────────────────────

    def refund(self, said: Object) -> Object:
        taken = self._refunded(said)
        amount = said["amount"] = int(said["amount"])
        if amount <= 0:
            raise Refused(400, code="parameter_invalid_integer", param="amount", message="> 0.")
        check_amount(amount, taken["currency"])
        if taken["disputed"]:
            raise Refused(400, code="charge_disputed", message="It was charged back.")
        left = taken["amount_captured"] - taken["amount_refunded"]
        if left == 0:
            message = "It has already been refunded."
            raise Refused(400, code="charge_already_refunded", message=message)
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount ({left})"
            raise Refused(400, param="amount", message=message)
        made = objects.refund(self.books.name("re"), self.books.now(), taken, said)
        self.books.keep(made)
        taken["amount_refunded"] += amount
        taken["refunded"] = taken["amount_refunded"] == taken["amount_captured"]
        ending = self.books.cards[taken["payment_method"]].refund
        self.books.tell("refund.created", made)
        if ending == "pending":
            due = self.books.clock.now().timestamp() * 1000 + PENDING_MS
            made["_due"] = (due, "succeeded")
        else:
            self.end_refund(made, ending)
        return made

    def _refunded(self, said: Object) -> Object:
        """The charge that is to be given back."""
        if "charge" in said:
            return self.books.get("charge", said["charge"], param="charge")
        intent = self.books.get("payment_intent", said["payment_intent"], param="payment_intent")
        if intent["status"] != "succeeded":
            message = f"This PaymentIntent ({intent['id']}) has no successful charge to refund."
            raise Refused(400, message=message)
        return self.books.objects[intent["latest_charge"]]

    def end_refund(self, made: Object, ending: str) -> None:
        """It succeeds, or fails: at once, later, or even after it had succeeded."""
        taken = self.books.objects[made["charge"]]
        reference = made["metadata"].get("perennial_refund")
        was = made["status"]
        made["status"] = ending
        if ending == "succeeded":
            moved = objects.balance_transaction(
                self.books.name("txn"), self.books.now(), made, -made["amount"], 0
            )
            made["balance_transaction"] = self.books.keep(moved)["id"]
            self.books.move("refund", made, made["amount"], reference)
            self.books.tell("charge.refunded", taken)
        else:
            made["failure_reason"] = "expired_or_canceled_card"
            taken["amount_refunded"] -= made["amount"]
            taken["refunded"] = False
            if was == "succeeded":
                self.books.move("refund", made, -made["amount"], reference)
            self.books.tell("refund.failed", made)
        self.books.tell("refund.updated", made)

    def dispute(self, charge: str, status: str = "needs_response") -> Object:
        taken = self.books.objects[charge]
        opened = objects.dispute(self.books.name("du"), self.books.now(), taken, status)
        self.books.keep(opened)
        self.books.tell("charge.dispute.created", opened)
        if not status.startswith("warning_"):
            taken["disputed"] = True
            self._settle_dispute(opened, -opened["amount"], DISPUTE_FEE)
            self.books.tell("charge.dispute.funds_withdrawn", opened)
        return opened

    def change_dispute(self, id: str, status: str) -> Object:
        opened = self.books.objects[id]
        opened["status"] = status
        if status == "won":
            self._settle_dispute(opened, opened["amount"], 0)
            self.books.tell("charge.dispute.funds_reinstated", opened)
        ended = status in {"won", "lost", "warning_closed", "prevented"}
        self.books.tell("charge.dispute.closed" if ended else "charge.dispute.updated", opened)
        return opened

    def _settle_dispute(self, opened: Object, amount: int, fee: int) -> None:
        moved = objects.balance_transaction(
            self.books.name("txn"), self.books.now(), opened, amount, fee
        )
        opened["balance_transactions"].append(self.books.keep(moved)["id"])

    # ── set-ups ───────────────────────────────────────────────────────────────────────────────────

    def set_up(self, said: Object) -> Object:
        self._owner(said.get("customer"))
        made = objects.setup_intent(self.books.name("seti"), self.books.now(), said)
        self.books.tell("setup_intent.created", self.books.keep(made))
        return made

    def confirm_setup(self, id: str, secret: str, name: str) -> Object:
        """The customer's part in the shop's page: a payment method that behaves like `name`."""
        intent = self.books.get("setup_intent", id, param="intent")
        assert secret == intent["client_secret"], "not this customer's set-up"
        assert intent["status"] == "requires_payment_method"
        card = behaviour(name)
        assert card is not None
        kept = self.method(name, intent["customer"] if card.error is None else None)
        intent["payment_method"] = kept["id"]
        details = {"type": card.kind, card.kind: {}}
        status = "failed" if card.error else "succeeded"
        attempt = objects.setup_attempt(
            self.books.name("setatt"), self.books.now(), intent, details, status
        )
        intent["latest_attempt"] = self.books.keep(attempt)["id"]
        if card.error is not None:
            error = {"type": "card_error", "message": "Declined.", **card.error}
            intent |= {"last_setup_error": error, "payment_method": None}
            self.books.tell("setup_intent.setup_failed", intent)
            return intent
        if card.kind != "card":
            agreed = objects.mandate(self.books.name("mandate"), kept)
            intent["mandate"] = self.books.keep(agreed)["id"]
        intent |= {"status": "succeeded", "last_setup_error": None}
        self.books.tell("setup_intent.succeeded", intent)
        return intent

    def cancel_setup(self, id: str) -> Object:
        intent = self.books.get("setup_intent", id, param="intent")
        intent |= {"status": "canceled", "cancellation_reason": "abandoned"}
        self.books.tell("setup_intent.canceled", intent)
        return intent

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    def settle_due(self, *, at_once: bool = False) -> None:
        """What was pending for long enough ends, or all that is pending."""
        now_ms = self.books.clock.now().timestamp() * 1000
        due = [one for one in self.books.objects.values() if "_due" in one]
        for one in due:
            at_ms, ending = one["_due"]
            if at_ms > now_ms and not at_once:
                continue
            del one["_due"]
            if one["object"] == "refund":
                self.end_refund(one, ending)
                continue
            taken = self.books.objects[one["latest_charge"]]
            if ending.pending == "succeeded":
                self._take(one, taken, one["amount"])
            else:
                self._declined(one, taken, {"code": "insufficient_funds"})
