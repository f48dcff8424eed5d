"""Disputes: heard of by webhook, or asked for where a gateway tells nothing; written as it says."""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import log
from app.db import decisions, disputes, inbox_subjects, payments
from app.db.base import Row
from app.db.inbox import Claimed
from app.domain import disputing
from app.domain.dispute import DisputeReport
from app.domain.inbox import Again, Ignored, Orphaned, Reason, Settled, Verdict
from app.domain.outcome import Found, Inconclusive, NotFound
from app.domain.payment import IN_FLIGHT, Attempt, AttemptStatus
from app.gateways import registry
from app.gateways.base import ConfigurationError, Gateway, GatewayError
from app.gateways.capabilities import News
from app.gateways.requests import TimeWindow
from app.ids import new_id
from app.runtime import Runtime
from app.services import payments as paying
from app.services.opening import open_account

POLL_EVERY: Final = timedelta(hours=6)
OVERLAP: Final = timedelta(days=3)
"""Gateways without webhooks show what changed by batches that close a day or two later."""
UNSETTLED_MAX: Final = timedelta(days=30)
"""How far back a dispute is asked for again whose payment our books do not have yet."""
ACCOUNTS_AT_ONCE: Final = 20
ROUNDS_MAX: Final = 1_000

logger = log.get(__name__)


async def settle_told(rt: Runtime, gateway: Gateway, claimed: Claimed) -> Verdict:
    """An event about a dispute: it is written down as the gateway has it now."""
    reference = claimed.event.reference
    if reference is None:
        return Ignored(Reason.NOT_ACTED_UPON)
    asked_at = rt.clock.now()
    found = await gateway.fetch_dispute(reference)
    match found:
        case Inconclusive():
            return Again(found.cause)
        case NotFound():
            return Again("the gateway does not know it", is_absent=True)
        case Found():
            account_id = claimed.account["gateway_account_id"]
            place = claimed.merchant_id, account_id
            return await settle(rt, gateway, place, found.outcome, asked_at)


async def settle(
    rt: Runtime,
    gateway: Gateway,
    place: tuple[UUID, UUID],
    report: DisputeReport,
    asked_at: datetime,
) -> Verdict:
    """Make our books say what the gateway says of a dispute; `place` is (merchant, account)."""
    merchant_id, account_id = place
    attempt = await _captured(rt, gateway, place, report.payment_reference)
    if attempt is None:
        if not report.withdrawn_minor:
            return Ignored(Reason.NOT_OURS)
        taken = f"withdrew {report.withdrawn_minor} {report.currency}"
        return Orphaned(Reason.FOREIGN, f"{taken} for {report.payment_reference}")
    if attempt.status is not AttemptStatus.SUCCEEDED:
        return Again(f"its payment's attempt is {attempt.status} here")
    async with rt.db.begin(merchant_id) as tx:
        payment = await payments.lock(tx, attempt.payment_id)
        before = await disputes.lock(tx, merchant_id, account_id, report.gateway_reference)
        now = await inbox_subjects.now_of_payment(tx, payment.id) or rt.clock.now()
        decision = disputing.told(before, report, (attempt, payment), asked_at, now, new_id)
        await decisions.record(tx, [decision], now)
    return Settled()


async def _captured(
    rt: Runtime, gateway: Gateway, place: tuple[UUID, UUID], reference: str
) -> Attempt | None:
    """The attempt that a disputed charge is of. One that is in flight here is settled first: what
    is disputed was captured.
    """
    async with rt.db.begin_system() as tx:
        found = await inbox_subjects.attempt_of(tx, *place, None, reference)
    if found is not None and found[0].status not in IN_FLIGHT:
        return found[0]
    there = await gateway.fetch_payment(reference)
    if not isinstance(there, Found):
        return None if found is None else found[0]
    async with rt.db.begin_system() as tx:
        found = await inbox_subjects.attempt_of(tx, *place, there.reference, reference)
    if found is None:
        return None
    attempt, frozen_at = found
    if attempt.status in IN_FLIGHT:
        now = frozen_at or rt.clock.now()
        await paying.settle_all(rt, [(attempt, there.outcome)], now, heard=True)
        async with rt.db.begin_system() as tx:
            found = await inbox_subjects.attempt_of(tx, *place, attempt.reference, None)
    return None if found is None else found[0]


async def poll_due(rt: Runtime) -> int:
    """Ask for disputes at gateways that tell nothing of them, each account once; how many there
    were.
    """
    polled = [name for name in registry.names() if _is_polled(name)]
    seen, tried = 0, set[UUID]()
    for _ in range(ROUNDS_MAX if polled else 0):
        now = rt.clock.now()
        asked = now, now - POLL_EVERY
        async with rt.db.begin_system() as tx:
            rows = await disputes.claim_polling(tx, polled, asked, ACCOUNTS_AT_ONCE, tried)
        tried.update(row["gateway_account_id"] for row in rows)
        seen += sum(await asyncio.gather(*(_poll(rt, row, now) for row in rows)))
        if len(rows) < ACCOUNTS_AT_ONCE:
            break
    return seen


async def _poll(rt: Runtime, row: Row, now: datetime) -> int:
    """One account's disputes since it was asked before; where they cannot be read to the end, or
    one of them cannot be written down yet, they are asked for again in the next run.
    """
    place = row["merchant_id"], row["gateway_account_id"]
    window = TimeWindow(row["since"] - OVERLAP, now)
    seen, since = 0, row["since"]
    is_settled = True
    try:
        gateway = open_account(rt, row)
        async for report in gateway.list_disputes(window):
            verdict = await settle(rt, gateway, place, report, now)
            seen += 1
            if isinstance(verdict, Orphaned):
                account = str(place[1])
                logger.error("dispute.orphaned", account=account, detail=verdict.detail)
            elif isinstance(verdict, Again):
                logger.error("dispute.not_settled", account=str(place[1]), reason=verdict.cause)
                is_settled, since = False, max(since, now - UNSETTLED_MAX)
    except (GatewayError, ConfigurationError) as error:
        logger.warning("dispute.not_listed", account=str(place[1]), reason=str(error))
    except Exception:
        logger.exception("dispute.poll_fault", account=str(place[1]))
    else:
        if is_settled:
            return seen
    async with rt.db.begin_system() as tx:
        await disputes.poll_again(tx, *place, since)
    return seen


def _is_polled(name: str) -> bool:
    try:
        return registry.factory(name).capabilities.disputes is News.POLL
    except Exception:
        logger.exception("dispute.gateway_unusable", gateway=name)
        return False
