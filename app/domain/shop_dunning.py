"""The dunning of a shop in memory: the same decisions as everywhere, with nothing to remember but
what was tried.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain import dunning, dunning_ending, dunning_following
from app.domain import dunning_policy as policies
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.dunning import Case, Finish
from app.domain.dunning_following import Known
from app.domain.dunning_policy import Policy
from app.domain.dunning_run import LIVE, Dunning, Facts, Method, Try
from app.domain.ids import NewId
from app.domain.invoice import Collection as How
from app.domain.invoice import Invoice, Status
from app.domain.payment import Payment
from app.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Backup:
    """A payment method that is tried where a customer's usual one was declined."""

    id: UUID
    type: str
    brand: str | None
    is_refused: bool = False

    def method(self, currency: str, refused: Collection[UUID]) -> Method:
        """As decisions about an invoice in `currency` see it."""
        limits = policies.scheme_limits(self.type, self.brand, currency)
        return Method(self.id, limits, self.is_refused or self.id in refused)


@dataclass(slots=True)
class Desk:
    """Whose policy counts for what, the runs, what was tried, and what can be tried instead."""

    policy: Policy = policies.DEFAULT
    of_plan: dict[UUID, Policy] = field(default_factory=dict)
    runs: dict[UUID, Dunning] = field(default_factory=dict)
    """By invoice, as what was tried."""
    tries: dict[UUID, list[Try]] = field(default_factory=dict)
    backups: dict[UUID, tuple[Backup, ...]] = field(default_factory=dict)
    """By customer, in their order."""
    refused: set[UUID] = field(default_factory=set)
    """Payment methods that said here that they will not work again."""
    left_alone: set[UUID] = field(default_factory=set)
    """Invoices that were sent and are overdue, about which nothing is done."""

    def fork(self) -> "Desk":
        """Another that is like this one now."""
        tries = {key: list(tried) for key, tried in self.tries.items()}
        return replace(
            self,
            runs=self.runs.copy(),
            tries=tries,
            refused=self.refused.copy(),
            left_alone=self.left_alone.copy(),
        )

    def take_in(self, run: Dunning, tries: Iterable[Try]) -> None:
        """Take in a run that was begun before, with what was tried."""
        self.runs[run.invoice_id] = run
        self.tries[run.invoice_id] = list(tries)

    def due_at(self, invoice: Invoice) -> datetime | None:
        """When the dunning of an invoice is to be looked at, or begins."""
        run = self.runs.get(invoice.id)
        if run is not None:
            return run.next_action_at
        if invoice.id in self.left_alone:
            return None
        is_sent = invoice.order.collection is How.SEND_INVOICE
        return invoice.due_at if is_sent and invoice.status is Status.OPEN else None

    def follow(
        self, decision: Decision, known: Mapping[UUID, Known], at: datetime, new_id: NewId
    ) -> Decision:
        """The decision with what it means for dunning; `known` is by invoice."""
        for attempt in decision.attempts:
            if attempt.version == 1:
                tried = Try(attempt.payment_method_id, at)
                self.tries.setdefault(attempt.invoice_id, []).append(tried)
        by_key = {(decision.merchant_id, key): each for key, each in known.items()}
        [followed] = dunning_following.follow([decision], by_key, at, new_id)
        self.runs |= {run.invoice_id: run for run in followed.dunning}
        self.refused |= set(followed.refused)
        return followed

    def concerns(self, decision: Decision, invoices: Mapping[UUID, Invoice]) -> set[UUID]:
        """The invoices whose dunning a decision may change."""
        over, waiting = dunning_following.concerns([decision])
        found = {invoice_id for _, invoice_id in over | waiting}
        if decision.abandoned:
            ended = set(decision.abandoned)
            found |= {
                run.invoice_id
                for run in self.runs.values()
                if run.status in LIVE and ended & set(invoices[run.invoice_id].subscription_ids)
            }
        return found

    def known(
        self,
        invoice: Invoice,
        payment: Payment | None,
        subs: Mapping[UUID, Subscription],
        method_id: UUID | None,
    ) -> Known:
        """What a decision about an invoice has to know."""
        first = next(iter(subs.values()), None)
        plans = () if first is None else (item.price.plan_id for item in first.items)
        backups = self.backups.get(invoice.order.customer_id, ())
        others = [b for b in backups if b.id != method_id][: dunning.BACKUPS_MAX]
        chosen = next((self.of_plan[plan] for plan in plans if plan in self.of_plan), self.policy)
        return Known(
            invoice=invoice,
            run=self.runs.get(invoice.id),
            payment=payment,
            policy=chosen,
            zone="UTC" if first is None else first.zone,
            facts=Facts(
                usual=None
                if method_id is None
                else Method(method_id, is_refused=method_id in self.refused),
                others=tuple(b.method(invoice.order.currency, self.refused) for b in others),
                tries=tuple(self.tries.get(invoice.id, ())),
            ),
            subscriptions={key: sub.status for key, sub in subs.items()},
        )


class Room(Protocol):
    """The part of a shop in memory that its dunning looks at."""

    desk: Desk
    accounts: dict[UUID, Account]
    subscriptions: dict[UUID, Subscription]
    invoices: dict[UUID, Invoice]
    payments: dict[UUID, Payment]
    of_invoice: dict[UUID, UUID]


def known(
    room: Room, invoice: Invoice, changed: Mapping[UUID, Subscription] | None = None
) -> tuple[Known, dict[UUID, Subscription]]:
    """What a decision about an invoice has to know, and the subscriptions it is for, those that are
    `changed` as they will be.
    """
    there = room.subscriptions | dict(changed or {})
    subs = {about: there[about] for about in invoice.subscription_ids if about in there}
    payment_id = room.of_invoice.get(invoice.id)
    payment = None if payment_id is None else room.payments[payment_id]
    method_id = None
    for about, sub in subs.items():
        account = room.accounts.get(about)
        usual = None if account is None else account.method_id
        method_id = method_id or sub.payment_method_id or usual
    return room.desk.known(invoice, payment, subs, method_id), subs


def followed(room: Room, decision: Decision, at: datetime, new_id: NewId) -> Decision:
    """The decision with what it means for dunning, as the database adds it."""
    invoices = room.invoices | {invoice.id: invoice for invoice in decision.invoices}
    changed = {sub.id: sub for sub in decision.subscriptions}
    concerned = {
        key: known(room, invoices[key], changed)[0]
        for key in room.desk.concerns(decision, invoices)
    }
    return room.desk.follow(decision, concerned, at, new_id)


def look(known: Known, accounts: list[Account], at: datetime, new_id: NewId) -> list[Decision]:
    """What is due on the dunning of an invoice, or its beginning where it was sent."""
    subs = tuple(account.subscription for account in accounts)
    if known.run is None:
        if known.policy.is_patient or known.is_exempt:
            return []
        return [dunning_following.overdue(known, subs, at, new_id)]
    case = Case(known.run, known.invoice, known.payment, known.facts, subs)
    verdict = dunning.look(case, at, new_id)
    if isinstance(verdict, Finish):
        return dunning_ending.finish(case, accounts, at, new_id)
    return [verdict]
