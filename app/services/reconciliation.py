"""Comparing our books with a gateway's: by hand, by command, and every night.

What is unknown is looked up first. Then the gateway's own list is read, and compared with ours;
what we have and the list has not is asked for once more before anybody is told. The same
difference, found again, stays one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app import log
from app.db import events, gateway_accounts, views
from app.db import reconciliations as rows
from app.db.base import Row, Tx
from app.domain import reconciling
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.event import Type
from app.domain.outcome import Found, Succeeded
from app.domain.reconciling import Books, Difference, Ended, Kind, Theirs
from app.gateways.base import Gateway, GatewayError
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import TimeWindow
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import differences, idempotency, look_ups, payments, refunds
from app.services.caller import Caller
from app.services.opening import open_account
from app.services.public import shown

OVERLAP: Final = timedelta(days=1)
"""How far a nightly run reaches back into what the one before it compared."""
WINDOW_MAX: Final = timedelta(days=92)
"""A comparison holds its window's transactions in memory."""
TRANSACTIONS_MAX: Final = 500_000
FRESHNESS: Final = timedelta(minutes=15)
"""What is younger than this, or than the gateway's look-up may lag, is not compared yet."""
RUNS_MAX: Final = 1_000
SHOWN_MAX: Final = 1_000
"""Differences that a report shows of one merchant."""
logger = log.get(__name__)

ENDED: Final = {
    TransactionStatus.SUCCEEDED: Ended.SUCCEEDED,
    TransactionStatus.AUTHORIZED: Ended.OPEN,
    TransactionStatus.PENDING: Ended.OPEN,
    TransactionStatus.FAILED: Ended.NOT,
    TransactionStatus.VOIDED: Ended.NOT,
}


@dataclass(frozen=True, slots=True)
class CreateReconciliation:
    """Compare an account from `start` (None: the day before yesterday) to `end` (None: now)."""

    gateway_account_id: UUID
    start: datetime | None = None
    end: datetime | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateReconciliation) -> UUID:
    """Ask for a comparison; a worker makes it. Raises InvalidRequest."""
    now = rt.clock.now()
    end = cmd.end or now
    start = cmd.start or end - 2 * OVERLAP
    if not start < end <= now:
        raise InvalidRequest("A window ends after it starts, and not in the future.", param="end")
    if end - start > WINDOW_MAX:
        raise InvalidRequest(f"At most {WINDOW_MAX.days} days are compared at once.", param="start")
    run = rows.NewRun(new_id(), cmd.gateway_account_id, start, end)
    async with rt.db.begin(caller.merchant_id) as tx:
        if await gateway_accounts.to_open(tx, caller.merchant_id, run.gateway_account_id) is None:
            raise InvalidRequest(
                "There is no such gateway account.",
                code="reference_not_found",
                param="gateway_account_id",
            )
        await rows.insert(tx, caller.merchant_id, run, now)
        await idempotency.answered(tx, caller, show("rec", run.id))
    await rt.bell.ring("reconcile")
    return run.id


async def schedule_due(rt: Runtime) -> int:
    """Ask for the nightly comparison of every open account that had none since; how many."""
    now = rt.clock.now()
    async with rt.db.begin_system() as tx:
        due = await rows.due_accounts(tx, now - OVERLAP + timedelta(hours=1))
        for account in due:
            since = account["compared_until"] or account["created_at"]
            start = max(min(since, now) - OVERLAP, now - WINDOW_MAX)
            run = rows.NewRun(new_id(), account["id"], start, now)
            await rows.insert(tx, account["merchant_id"], run, now)
    return len(due)


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison of every account came to: what is open, and which could not be made."""

    compared: int
    failed: Sequence[str]
    open: list[dict[str, Any]]

    def shown(self) -> dict[str, Any]:
        """For programs to read."""
        return {"compared": self.compared, "failed": list(self.failed), "open": self.open}


async def compare_all(
    rt: Runtime,
    merchant_id: UUID | None,
    start: datetime | None,
    end: datetime | None,
    tell: Callable[[str], None],
) -> Report:
    """Compare every open account, one after the other; `tell` hears of each. Raises
    InvalidRequest.
    """
    async with rt.db.begin_system() as tx:
        accounts = await rows.open_accounts(tx, merchant_id)
    failed = []
    for account in accounts:
        caller = Caller(account["merchant_id"], False, None, frozenset(), "command")
        made = await create(rt, caller, CreateReconciliation(account["id"], start, end))
        await run_due(rt, made)
        async with rt.db.begin(account["merchant_id"]) as tx:
            row = await views.one(tx, views.RECONCILIATION, account["merchant_id"], made)
        assert row is not None
        name = show("gwa", account["id"])
        if row["status"] != "succeeded":
            failed.append(f"{name}: {row['detail']}")
        tell(
            f"{name} ({account['gateway']}): {row['status']}, {row['charges_there']} charges and "
            f"{row['refunds_there']} refunds there, {row['differences']} differences"
        )
    return Report(len(accounts), failed, await _open(rt, {a["merchant_id"] for a in accounts}))


async def _open(rt: Runtime, merchants: Collection[UUID]) -> list[dict[str, Any]]:
    """What is open of these merchants, the newest first, as callers see it."""
    found: list[dict[str, Any]] = []
    for merchant_id in sorted(merchants):
        async with rt.db.begin(merchant_id) as tx:
            for status in ("open", "repairing"):
                view = views.RECONCILIATION_DIFFERENCE
                page = await views.page(tx, view, merchant_id, {"status": status}, None, SHOWN_MAX)
                found += [shown(view, row) for row in page]
    return found


async def run_due(rt: Runtime, only: UUID | None = None) -> int:
    """Make every comparison that waits, or just `only`; how many."""
    for done in range(RUNS_MAX):
        async with rt.db.begin_system() as tx:
            run = await rows.claim(tx, rt.clock.now(), only)
        if run is None:
            return done
        await _make(rt, run)
    return RUNS_MAX


async def _make(rt: Runtime, run: Row) -> None:
    """One comparison; whatever goes wrong is its end, and nothing is concluded from a part."""
    counts, detail = (0, 0, 0), None
    try:
        gateway = open_account(rt, run)
        counts = await _compare(rt, run, gateway)
    except GatewayError as error:
        detail = str(error)
    except Exception as error:
        logger.exception("reconcile.fault", run=str(run["id"]))
        detail = f"fault: {type(error).__name__}"
    now = rt.clock.now()
    async with rt.db.begin(run["merchant_id"]) as tx:
        status = "succeeded" if detail is None else "failed"
        await rows.finish(tx, run, status, counts, detail, now)
        await _tell(tx, run["merchant_id"], Type.RECONCILIATION_COMPLETED, run["id"], now)
    logger.info("reconcile.ran", run=str(run["id"]), differences=counts[2], detail=detail)


async def _compare(rt: Runtime, run: Row, gateway: Gateway) -> tuple[int, int, int]:
    await _settle_first(rt, run)
    there = await _read(gateway, run)
    charges = [_theirs(t) for t in there if t.kind is TransactionKind.CHARGE]
    returned = [_theirs(t) for t in there if t.kind is TransactionKind.REFUND]
    place = run["merchant_id"], run["gateway_account_id"]
    async with rt.db.begin(run["merchant_id"]) as tx:
        books = Books(
            run["window_start"],
            _comparable_until(gateway, run, rt.clock.now()),
            await rows.charges(tx, run, _named(charges, returned)),
            await rows.refunds(tx, run, reconciling.references(returned)),
            charges,
            returned,
            frozenset(map(payments.reference, await rows.given_back(tx, place))),
        )
    found = await _confirmed(gateway, reconciling.compare(books))
    now = rt.clock.now()
    async with rt.db.begin(run["merchant_id"]) as tx:
        for one in await rows.settled_meanwhile(tx, run, now):
            await differences.resolved(tx, run["merchant_id"], one, now)
        still_open = await differences.found(tx, place, run["id"], found, now)
    return len(charges), len(returned), still_open


async def _settle_first(rt: Runtime, run: Row) -> None:
    """Nothing that is in flight is compared before the gateway was asked about it."""
    async with rt.db.begin_system() as tx:
        await rows.hasten(tx, run["merchant_id"], run["gateway_account_id"], rt.clock.now())
    await look_ups.resolve_due(rt)
    await refunds.resolve_due(rt)


async def _read(gateway: Gateway, run: Row) -> list[GatewayTransaction]:
    """The gateway's whole list. Raises GatewayError where it breaks off."""
    window = TimeWindow(run["window_start"], run["window_end"])
    found: list[GatewayTransaction] = []
    async for each in gateway.list_transactions(window):
        found.append(each)
        if len(found) > TRANSACTIONS_MAX:
            raise GatewayError(
                f"More than {TRANSACTIONS_MAX} transactions: compare a shorter window."
            )
    return found


def _theirs(listed: GatewayTransaction) -> Theirs:
    return Theirs(
        listed.reference,
        ENDED[listed.status],
        listed.amount_minor,
        listed.currency,
        listed.created_at,
        listed.our_reference,
        listed.payment_reference,
        listed.fee_minor,
    )


def _named(charges: Sequence[Theirs], returned: Sequence[Theirs]) -> tuple[list[str], list[str]]:
    """What charges the gateway's list names, also as those that its refunds are of."""
    theirs, ours = reconciling.references(charges)
    return [*theirs, *(r.payment_reference for r in returned if r.payment_reference)], ours


def _comparable_until(gateway: Gateway, run: Row, now: datetime) -> datetime:
    """Up to when what we have must be on the gateway's list: its look-up may lag, and a charge that
    was written down may not be sent yet.
    """
    lag = timedelta(seconds=gateway.capabilities.lookup_freshness_seconds)
    until: datetime = min(run["window_end"], now - max(lag, FRESHNESS))
    return until


async def _confirmed(gateway: Gateway, found: Sequence[Difference]) -> list[Difference]:
    """The differences, without payments that only the list lacks."""
    confirmed = []
    for difference in found:
        if difference.kind is Kind.CHARGE_MISSING_THERE and difference.gateway_reference:
            seen = await gateway.fetch_payment(difference.gateway_reference)
            if isinstance(seen, Found) and isinstance(seen.outcome, Succeeded):
                continue
        if difference.kind is Kind.REFUND_MISSING_THERE and difference.gateway_reference:
            again = await gateway.fetch_refund(difference.gateway_reference)
            if isinstance(again, Found):
                continue
        confirmed.append(difference)
    return confirmed


async def _tell(tx: Tx, merchant_id: UUID, type_: Type, id: UUID, now: datetime) -> None:
    row = await views.one(tx, views.RECONCILIATION, merchant_id, id)
    assert row is not None
    await events.append(tx, merchant_id, type_, views.RECONCILIATION, row, now)


def missing() -> NotFound:
    """No such difference, or another merchant's."""
    return NotFound("There is no such reconciliation difference.")


def check_open(row: Row) -> None:
    """Refuse what is resolved already. Raises Conflict."""
    if row["status"] not in ("open", "repairing"):
        raise Conflict(f"It is {row['status']} already.", code=f"difference_{row['status']}")
