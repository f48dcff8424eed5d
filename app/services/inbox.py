"""What gateways tell: proved first, written down, and only then answered. Settling comes later.

Nothing of a delivery is read before its adapter has proved it. What cannot be proved is refused,
what cannot be proved just now, or not written down, is to be delivered again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from app import log
from app.db import gateway_accounts, inbox
from app.db.base import Row
from app.db.errors import is_unreachable
from app.db.inbox import NewEvent
from app.db.views import GATEWAY_ACCOUNT, INBOUND_EVENT
from app.domain.errors import Conflict, NotFound, Unavailable, Unverified
from app.domain.inbox import EventKind, GatewayEvent, Ignored, Reason, Standing, Status, standing
from app.gateways.base import ConfigurationError, WebhookRefused, WebhookUnverifiable
from app.gateways.reports import WebhookDelivery
from app.ids import new_id
from app.redaction import scrubbed_body, scrubbed_headers
from app.runtime import Runtime
from app.services import answers, deeds, lookup
from app.services.caller import Caller
from app.services.opening import open_account

BODY_BYTES_MAX: Final = 512 * 1024
"""No gateway's event comes near it; read before anything is proved, so it is bounded."""
PROOF_SECONDS_MAX: Final = 10
"""Some proofs need a certificate from the gateway; gateways themselves wait no longer."""
CACHED_SECONDS: Final = 5.0
"""For so long an account is known without asking the database. A delivery that is refused is
looked at once more with the account as it is, so a new secret counts at once.
"""
CACHED_MAX: Final = 10_000
EVENTS_MAX: Final = 100
"""Of one delivery, written at once; each is a row with the whole body."""
WRITERS_MAX: Final = 3
"""Transactions at once: more of them would only be smaller ones."""
BATCH_MAX: Final = 100
"""Deliveries in one transaction: some megabytes at worst."""
FORGET_CHUNK: Final = 5_000
"""Rows deleted in one transaction: a short one."""
ACTED_UPON: Final = frozenset(set(EventKind) - {EventKind.OTHER})
SETTLE: Final = "settle_inbound"

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as it came, and the address it came to."""

    gateway: str
    account_id: UUID
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """How many events a delivery brought, and how many of them were new."""

    events: int
    stored: int


class Desk:
    """Writes down what arrives at about the same time in one transaction.

    Few transactions run at once; what arrives meanwhile waits for the next one, so the more there
    is to do, the less each costs. Whoever waits is told after the commit.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[list[NewEvent], asyncio.Future[int]]] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def write(self, rt: Runtime, new: list[NewEvent]) -> int:
        """Store a delivery's events: returned means committed. How many of them were new."""
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, told))
        if len(self._writers) < WRITERS_MAX:
            writer = asyncio.create_task(self._work(rt))
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        return await told

    async def _work(self, rt: Runtime) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            try:
                await self._store(rt, batch)
            except Exception as error:
                if len(batch) == 1 or is_unreachable(error):
                    _fail(batch, error)
                    continue
                for one in batch:  # one that cannot be stored must not hold up the others
                    try:
                        await self._store(rt, [one])
                    except Exception as alone:
                        _fail([one], alone)

    async def _store(
        self, rt: Runtime, batch: Sequence[tuple[list[NewEvent], "asyncio.Future[int]"]]
    ) -> None:
        async with rt.db.begin_system() as tx:
            stored = await inbox.insert(tx, [each for new, _ in batch for each in new])
        for new, told in batch:
            if not told.done():  # whoever hung up meanwhile is told nothing
                told.set_result(sum(each.id in stored for each in new))


def _fail(batch: Sequence[tuple[list[NewEvent], "asyncio.Future[int]"]], error: Exception) -> None:
    for _, told in batch:
        if not told.done():
            told.set_exception(error)


class Mailbox:
    """Takes deliveries in; one a process, since it remembers accounts for a moment."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[float, Row]] = {}
        self._desk = Desk()

    async def take(self, rt: Runtime, delivery: Delivery) -> Taken:
        """Prove a delivery and write down what it tells: returned means committed.

        Raises NotFound for an address that is no account's, Unverified, and Unavailable where the
        gateway had better deliver it again.
        """
        now = rt.clock.now()
        arrived = WebhookDelivery(delivery.headers, delivery.body, now)
        row, is_fresh = await self._account(rt, delivery)
        try:
            events = await _proved(rt, row, arrived)
        except Unverified:
            if is_fresh:
                raise
            self._known.pop(delivery.account_id, None)
            row, _ = await self._account(rt, delivery)
            events = await _proved(rt, row, arrived)
        if not events:
            return Taken(0, 0)
        stored = 0
        for place in range(0, len(events), EVENTS_MAX):  # all of them: 200 means written down
            part = _new(rt, events[place : place + EVENTS_MAX], row, arrived)
            stored += await self._desk.write(rt, part)
        if stored:
            rt.bell.ring_soon(SETTLE)
        return Taken(len(events), stored)

    async def _account(self, rt: Runtime, delivery: Delivery) -> tuple[Row, bool]:
        """The account's row, and whether it was read just now. Raises NotFound."""
        instant = time.monotonic()
        known = self._known.get(delivery.account_id)
        is_fresh = known is None or known[0] < instant
        if known is None or is_fresh:
            async with rt.db.begin_system() as tx:
                row = await gateway_accounts.by_id(tx, delivery.account_id)
            if row is None:
                raise _no_such_address()
            if len(self._known) >= CACHED_MAX:
                self._known.pop(next(iter(self._known)))
            known = self._known[delivery.account_id] = (instant + CACHED_SECONDS, row)
        if known[1]["gateway"] != delivery.gateway:
            raise _no_such_address()
        return known[1], is_fresh


def _no_such_address() -> NotFound:
    return NotFound("There is no such gateway account.")


async def _proved(rt: Runtime, row: Row, arrived: WebhookDelivery) -> tuple[GatewayEvent, ...]:
    """What the delivery tells, once its adapter has proved it. Raises Unverified, Unavailable.

    Whatever else goes wrong is our own fault, and no proof: it is to be delivered again.
    """
    account = str(row["gateway_account_id"])
    try:
        gateway = open_account(rt, row)
        async with asyncio.timeout(PROOF_SECONDS_MAX):
            return await gateway.verify_webhook(arrived)
    except WebhookRefused as error:
        logger.warning("inbox.refused", account=account, reason=str(error))
        raise Unverified("The delivery is not proved.", code="webhook_refused") from None
    except (WebhookUnverifiable, TimeoutError) as error:
        logger.warning("inbox.unverifiable", account=account, reason=str(error))
    except ConfigurationError as error:
        logger.error("inbox.account_unusable", account=account, reason=str(error))
    except Exception:
        logger.exception("inbox.adapter_fault", account=account)
    raise Unavailable("The delivery cannot be proved just now; deliver it again.")


def _new(
    rt: Runtime, events: Sequence[GatewayEvent], row: Row, arrived: WebhookDelivery
) -> list[NewEvent]:
    discretion = rt.gateways.discretion(row["gateway_account_id"])
    body = discretion.masked_bytes(scrubbed_body(arrived.body))
    headers = {
        name: discretion.masked(value) for name, value in scrubbed_headers(arrived.headers).items()
    }
    return [
        NewEvent(
            merchant_id=row["merchant_id"],
            account_id=row["gateway_account_id"],
            id=new_id(),
            received_at=arrived.received_at,
            event=event,
            standing=_first(event),
            body=body,
            headers=headers,
        )
        for event in events
    ]


def _first(event: GatewayEvent) -> Standing:
    """Where an event begins: waiting to be settled, or at its end if nothing follows from it."""
    has_subject = event.reference is not None or event.our_reference is not None
    if event.kind in ACTED_UPON and has_subject:
        return Standing(Status.RECEIVED)
    return standing(Ignored(Reason.NOT_ACTED_UPON), 0)


async def retry(rt: Runtime, caller: Caller, account_id: UUID, id: UUID) -> Row:
    """Settle an event again, whatever became of it. Raises NotFound, Conflict while it waits."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await inbox.lock(tx, caller.merchant_id, account_id, id)
        if row is None:
            raise lookup.missing(INBOUND_EVENT)
        if row["subject"] is None:
            raise Conflict("It names nothing to look up.", code="inbound_event_names_nothing")
        if row["status"] != Status.RECEIVED:
            await inbox.reopen(tx, caller.merchant_id, id, now)
            await deeds.note(tx, caller, "inbound_event.retried", id, now, before=row["status"])
        shown = await answers.present(tx, caller, INBOUND_EVENT, id)
    rt.bell.ring_soon(SETTLE)
    return shown


async def of_account(rt: Runtime, caller: Caller, account_id: UUID) -> None:
    """Whether the merchant has this account. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        if await gateway_accounts.to_open(tx, caller.merchant_id, account_id) is None:
            raise lookup.missing(GATEWAY_ACCOUNT)


async def forget_old(rt: Runtime) -> int:
    """Delete events that were settled or ignored longer ago than they are kept; how many."""
    before = rt.clock.now() - timedelta(days=rt.settings.inbound_event_days)
    async with rt.db.begin_system() as tx:
        return await inbox.delete_old(tx, before, FORGET_CHUNK)
