"""Billing ahead: where a method's account must announce its debits, renewals are billed before they
begin, so that the money comes about their boundary. And taking back what was billed in vain.

What needs it is read from what accounts declare. A period that cannot be billed ahead, whatever
the cause, is billed at its boundary like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app import log
from app.db import accounts, ahead, balances, corrected, decisions
from app.db.ahead import Lead
from app.db.base import Row, Tx
from app.db.errors import Refused
from app.db.scope import Scope
from app.domain import billing_ahead
from app.domain.decision import Decision
from app.domain.errors import BillingError
from app.domain.sharing import Shared
from app.domain.shop import FAULTS, Shop
from app.domain.tax_engine import Question, Unanswered
from app.gateways import registry
from app.gateways.base import ConfigurationError
from app.gateways.capabilities import Capabilities
from app.ids import new_id
from app.runtime import Runtime
from app.services import payments, refund_calls, tax_prefetch
from app.services.opening import open_account

CHUNKS_MAX: Final = 10_000
"""A run ends after this many chunks; the next one goes on."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did."""

    billed: int = 0
    taken_back: int = 0


async def leads(rt: Runtime) -> list[Lead]:
    """Which accounts announce what, and how long before its period that is billed."""
    names = [name for name in registry.names() if _may_announce(name)]
    if not names:
        return []
    async with rt.db.begin_system() as tx:
        rows = await ahead.accounts(tx, names)
    known: dict[tuple[str, str], Capabilities | None] = {}
    found: list[Lead] = []
    for row in rows:
        alike = row["gateway"], row["settings"]
        if alike not in known:
            known[alike] = _capabilities(rt, row)
        can = known[alike]
        if can is not None and can.requires_lead_time_seconds:
            found += _leads_at(row, can)
    return found


def _may_announce(gateway: str) -> bool:
    try:
        factory = registry.factory(gateway)
    except ConfigurationError as error:  # its accounts do not open either
        logger.error("ahead.gateway_not_loaded", gateway=gateway, reason=str(error))
        return False
    if factory.capabilities.requires_lead_time_seconds:
        return True
    return any(field.is_about_lead_time for field in factory.fields)


def _capabilities(rt: Runtime, row: Row) -> Capabilities | None:
    """What accounts with these settings declare; None where this one does not open."""
    try:
        return open_account(rt, row).capabilities
    except ConfigurationError as error:
        account = str(row["gateway_account_id"])
        logger.error("ahead.account_unusable", account=account, reason=str(error))
        return None


def _leads_at(row: Row, can: Capabilities) -> list[Lead]:
    lead = billing_ahead.lead_of(can.requires_lead_time_seconds)
    methods = [None] if can.announced_methods is None else sorted(can.announced_methods)
    currencies = [None] if can.announced_currencies is None else sorted(can.announced_currencies)
    return [
        Lead(row["merchant_id"], row["gateway_account_id"], method, currency, lead)
        for method in methods
        for currency in currencies
    ]


async def run_due(rt: Runtime, scope: Scope, now: datetime) -> Ran:
    """Bill what is due ahead at `now`, and take back what was billed in vain."""
    taken_back = await _take_back_due(rt, scope, now)
    found = await leads(rt)
    if not found:
        return Ran(0, taken_back)
    left, billed = set[UUID](), 0
    size = rt.settings.chunk_size
    for _ in range(CHUNKS_MAX):
        done, made = await _bill_chunk(rt, scope, now, size, found, left)
        billed += made
        if not done:
            break
    return Ran(billed, taken_back)


async def _bill_chunk(
    rt: Runtime, scope: Scope, now: datetime, size: int, found: Sequence[Lead], left: set[UUID]
) -> tuple[int, int]:
    """One chunk in one transaction: how many were looked at, and billed. Of a chunk that the
    database refuses each is tried alone, and one that is refused alone is billed at its boundary.
    """
    questions: dict[Question, None] = {}
    rows: list[Row] = []
    try:
        async with rt.db.begin_system() as tx:
            rows = await ahead.claim_due(tx, scope, now, size, found, left)
            decided = await _decide(tx, rows, now, questions, left)
            await decisions.record(tx, decided, now)
    except (BillingError, Refused) as error:
        if len(rows) > 1:
            return await _bill_one_by_one(rt, scope, now, found, left)
        for row in rows:
            logger.error("ahead.refused", subscription=str(row["id"]), reason=str(error))
            left.add(row["id"])
        return len(rows), 0
    await tax_prefetch.ask(rt, questions)
    return len(rows), sum(len(decision.invoices) for decision in decided)


async def _bill_one_by_one(
    rt: Runtime, scope: Scope, now: datetime, found: Sequence[Lead], left: set[UUID]
) -> tuple[int, int]:
    looked, billed = 0, 0
    for _ in range(rt.settings.chunk_size):
        done, made = await _bill_chunk(rt, scope, now, 1, found, left)
        looked, billed = looked + done, billed + made
        if not done:
            break
    return looked, billed


async def _decide(
    tx: Tx, rows: Sequence[Row], now: datetime, questions: dict[Question, None], left: set[UUID]
) -> list[Decision]:
    """What is billed of each; one whose taxes are not known yet is left for the next run."""
    decided: list[Decision] = []
    shared = Shared()
    for loaded in await accounts.load(tx, rows):
        account = shared.left_to(loaded)
        sub = account.subscription
        try:
            decision = billing_ahead.bill(account, now, new_id)
        except Unanswered as error:
            questions[error.question] = None
            left.add(sub.id)
            continue
        except FAULTS as error:
            logger.error("ahead.not_billed", subscription=str(sub.id), reason=str(error))
            decision = billing_ahead.nothing_ahead(sub)
        shared.note(account, decision)
        decided.append(decision)
    return decided


async def _take_back_due(rt: Runtime, scope: Scope, now: datetime) -> int:
    """Give back what was billed in vain, one after the other: it is seldom, and locks much."""
    done, left = 0, set[UUID]()
    for _ in range(CHUNKS_MAX):
        rows: list[Row] = []
        decision = None
        try:
            async with rt.db.begin_system() as tx:
                rows = await ahead.claim_in_vain(tx, scope, 1, left)
                if not rows:
                    return done
                left.add(rows[0]["id"])
                decision = await _given_back(tx, rows[0], now)
                if decision is not None:
                    await decisions.record(tx, [decision], now)
        except (*FAULTS, Refused) as error:
            if not rows:
                raise
            # The next run tries again; the others go on.
            logger.error("ahead.not_taken_back", subscription=str(rows[0]["id"]), reason=str(error))
            continue
        if decision is not None:
            await refund_calls.carry_out(rt, decision.refunds, now)
            done += 1
    return done


async def _given_back(tx: Tx, row: Row, now: datetime) -> Decision | None:
    [account] = await accounts.load(tx, [row])
    sub = account.subscription
    invoice_id = sub.billed_in_vain or sub.billed_to_end
    if invoice_id is None:
        return None
    found = await corrected.of_invoices(tx, [(sub.merchant_id, invoice_id)])
    key = (sub.merchant_id, sub.customer_id, sub.currency)
    about = replace(found[invoice_id], balance=(await balances.load(tx, [key]))[key])
    to = account.policy.cancel_credit_to
    return billing_ahead.take_back(sub, about, to, payments.reference, now, new_id)


async def into(tx: Tx, shop: Shop, found: Sequence[Lead]) -> None:
    """Tell a shop in memory which of its subscriptions are billed ahead, and how early."""
    mine = [lead for lead in found if lead.merchant_id == shop.merchant_id]
    if mine and shop.subscriptions:
        shop.lead_by(await ahead.leads_of(tx, shop.subscriptions.keys(), mine))
