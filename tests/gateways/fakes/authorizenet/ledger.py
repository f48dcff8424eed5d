"""The fake's own books: what really happened, whatever was answered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from app.clock import SystemClock

CAPTURED = {
    "capturedPendingSettlement",
    "settledSuccessfully",
    "chargeback",
    "chargebackReversal",
}
REFUNDED = {"refundPendingSettlement", "refundSettledSuccessfully"}
SETTLES = {
    "capturedPendingSettlement": "settledSuccessfully",
    "refundPendingSettlement": "refundSettledSuccessfully",
}
BATCHED = {*SETTLES, "declined", "voided", "generalError", "expired"}
"""What a batch takes along when it is settled."""
TOKEN_SECONDS = 900


def cents(amount: Decimal | int) -> int:
    return int(amount * 100)


@dataclass
class Card:
    """What a customer entered: `behaves` says what the bank will say to it."""

    behaves: str
    number: str = "4111111111111111"
    expiry: str = "2031-12"
    brand: str = "Visa"


@dataclass
class Method:
    id: str
    customer: str
    card: Card
    bill_to: dict = field(default_factory=dict)


@dataclass
class Customer:
    id: str
    code: str
    description: str
    email: str
    methods: dict[str, Method] = field(default_factory=dict)


@dataclass
class Transaction:
    id: str
    type: str
    status: str
    amount: Decimal
    submitted_at: datetime
    invoice: str = ""
    description: str = ""
    ref_id: str = ""
    customer: str = ""
    method: str = ""
    card: Card | None = None
    origin: str = ""
    settling: Decimal = Decimal()
    reason: str = "1"
    network_id: str = ""
    batch: str = ""
    voided_by: str = ""
    """The refId of the call that voided it."""
    returned: dict | None = None
    decides: tuple[datetime, str] | None = None
    """When a review ends by itself, and how."""

    @property
    def was_captured(self) -> bool:
        return self.settling > 0


@dataclass
class Batch:
    id: str
    settled_at: datetime


class Ledger:
    """Everything the gateway knows; one account."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.offset = timedelta()
        self.settles_at_once = False
        self.settles_before_void = False
        """The batch closes between a look and the void that follows it."""
        self.settles_after_listing = False
        """The batch closes as soon as the unsettled list was read."""
        self.hides_captures = False
        """Details show a captured hold as it was before."""
        self.hides_from_page = 0
        """From which page on lists are empty although there is more; 0: none."""
        self.transactions: dict[str, Transaction] = {}
        self.customers: dict[str, Customer] = {}
        self.batches: dict[str, Batch] = {}
        self.tokens: dict[str, tuple[Card, datetime]] = {}
        self.submissions: dict[tuple, tuple[str, datetime]] = {}
        """Lookalikes: what a transaction was like, and when."""
        self._last_id = 60_000_000_000

    def now(self) -> datetime:
        return self._clock.now() + self.offset

    def new_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def add(self, transaction: Transaction) -> Transaction:
        self.transactions[transaction.id] = transaction
        if self.settles_at_once and transaction.status in SETTLES:
            self.settle()
        return transaction

    def find(self, id: str) -> Transaction | None:
        """A transaction, after a review of it that is over by now."""
        found = self.transactions.get(id)
        if found is not None and found.decides and found.decides[0] <= self.now():
            self.decide(found, found.decides[1])
        return found

    def decide(self, held: Transaction, action: str) -> None:
        """End a review."""
        held.decides = None
        if held.type == "refundTransaction":
            held.status = "refundPendingSettlement" if action == "approve" else "declined"
        elif action == "approve":
            if held.type == "authOnlyTransaction":
                held.status = "authorizedPendingCapture"
            else:
                held.status, held.settling = "capturedPendingSettlement", held.amount
                if self.settles_at_once:
                    self.settle()
        else:
            held.status, held.reason = "declined", "254"

    def settle(self) -> str:
        """Close the batch: what is captured or credited moves for good."""
        batch = Batch(self.new_id(), self.now())
        self.batches[batch.id] = batch
        for transaction in self.transactions.values():
            if not transaction.batch and transaction.status in BATCHED:
                transaction.batch = batch.id
                transaction.status = SETTLES.get(transaction.status, transaction.status)
        return batch.id

    def token(self, card: Card) -> str:
        """What Accept.js would make of a card."""
        value = f"eyJ0b2tlbiI6{self.new_id()}"
        self.tokens[value] = (card, self.now() + timedelta(seconds=TOKEN_SECONDS))
        return value

    def redeem(self, value: str) -> Card | None:
        """The card of a token, once."""
        card, until = self.tokens.pop(value, (None, self.now()))
        return card if until > self.now() else None

    def customer(self, code: str, description: str = "", email: str = "") -> Customer:
        made = Customer(self.new_id(), code, description, email)
        self.customers[made.id] = made
        return made

    def method(self, customer: Customer, card: Card, bill_to: dict | None = None) -> Method:
        made = Method(self.new_id(), customer.id, card, bill_to or {})
        customer.methods[made.id] = made
        return made

    def credited(self, charge: Transaction) -> Decimal:
        """What went back of a charge."""
        return sum(
            (t.amount for t in self.all() if t.origin == charge.id and t.status in REFUNDED),
            Decimal(),
        )

    def all(self) -> list[Transaction]:
        return [self.find(each) for each in list(self.transactions)]

    def moved(self, reference: str) -> dict[str, object]:
        """What one reference of ours moved or holds, in cents."""
        mine = [t for t in self.all() if t.invoice == reference]
        credited = [t for t in mine if t.status in REFUNDED]
        charges = [t for t in mine if t.settling]
        holds = [t for t in mine if t.status == "authorizedPendingCapture"]
        voided = [t for t in self.all() if t.voided_by == reference and t.settling]
        moving = [*credited, *charges, *holds, *voided]
        return {
            "charged": cents(sum(t.settling for t in charges)),
            "refunded": cents(sum(t.amount for t in credited) + sum(t.settling for t in voided)),
            "held": cents(sum(t.amount for t in holds)),
            "times": len(moving),
            "currency": "USD" if moving else None,
        }

    def movements(self, start: datetime, end: datetime) -> list[tuple[str, str, int]]:
        """What moved of the transactions submitted in a while: name, which way, cents."""
        found = []
        for each in self.all():
            if not start <= each.submitted_at < end:
                continue
            if each.status in REFUNDED:
                found.append((each.id, "refund", cents(each.amount)))
            if each.settling:
                found.append((each.id, "charge", cents(each.settling)))
                if each.status == "voided":
                    found.append((f"{each.id}-void", "refund", cents(each.settling)))
        return found

    def charged(self, invoice: str) -> Decimal:
        """What was really taken under our reference, given back or not."""
        return sum(
            (
                t.settling
                for t in self.all()
                if t.invoice == invoice and t.type != "refundTransaction"
            ),
            Decimal(),
        )

    def refunded(self, code: str) -> Decimal:
        """What really went back under our reference, by credit or by void."""
        credited = sum(
            (t.amount for t in self.all() if t.invoice == code and t.status in REFUNDED),
            Decimal(),
        )
        voided = sum(
            (t.settling for t in self.all() if t.voided_by == code and t.status == "voided"),
            Decimal(),
        )
        return credited + voided
