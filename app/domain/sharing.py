"""What a customer's subscriptions share while they are decided one after the other: credit, and the
customer's own discounts. Each is decided as what those before it left.
"""

from dataclasses import dataclass, field, replace
from uuid import UUID

from app.domain.balance import Balance
from app.domain.billing import Account
from app.domain.decision import Decision


@dataclass(slots=True)
class Shared:
    """What decisions that are not recorded yet have left."""

    held: dict[tuple[UUID, str], Balance] = field(default_factory=dict)
    used: dict[UUID, int | None] = field(default_factory=dict)
    """How many periods discounts have left."""

    def left_to(self, account: Account) -> Account:
        """The account as it is after them."""
        sub = account.subscription
        spent = self.held.get((sub.customer_id, sub.currency))
        if spent is not None:
            account = replace(account, balance=spent)
        if not any(d.customer_id is not None and d.id in self.used for d in sub.discounts):
            return account
        discounts = tuple(
            replace(d, periods_remaining=self.used.get(d.id, d.periods_remaining))
            for d in sub.discounts
        )
        return replace(account, subscription=replace(sub, discounts=discounts))

    def note(self, account: Account, decision: Decision) -> None:
        """What the decision about `account` leaves."""
        for entry in decision.balances:
            key = entry.customer_id, entry.currency
            self.held[key] = replace(account.balance, amount=entry.ending)
        for use in decision.discounts:
            self.used[use.id] = use.periods_remaining

    def fork(self) -> "Shared":
        """The same, to try something with."""
        return Shared(dict(self.held), dict(self.used))
