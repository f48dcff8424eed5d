"""Payment methods between us and their gateways: kept, renewed, let go of, told before they expire.

A gateway is told to let go after our own commit, and again until it answers. What it keeps is
written down as it says, and never by an answer that is older than the one before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from app import log
from app.db import customers, dunning_due, events, kept_methods, payment_methods, views
from app.db.base import Row, Tx
from app.db.inbox import Claimed
from app.db.scope import Scope
from app.domain.event import Type
from app.domain.inbox import Again, Ignored, Reason, Settled, Verdict
from app.domain.outcome import Found, Inconclusive, NotFound
from app.domain.setup_session import Session
from app.domain.vault import Detached, DetachOutcome, MethodLookup, SavedMethod
from app.gateways import registry
from app.gateways.base import Gateway, GatewayError
from app.gateways.capabilities import News
from app.gateways.requests import MethodReference
from app.ids import new_id
from app.runtime import Runtime
from app.services.opening import open_account

WALL: Final = Scope()
LEASE: Final = timedelta(minutes=5)
DETACH_DELAYS: Final = tuple(
    timedelta(seconds=s) for s in (30, 120, 600, 3_600, 21_600, 86_400, 86_400, 86_400)
)
"""When a gateway is told again to let go; after the last it is logged, and left at that: nothing
here charges the method any more.
"""
REFRESH_EVERY: Final = timedelta(days=7)
"""How often methods are asked about at gateways that tell nothing by themselves."""
CHUNK: Final = 100
CHUNKS_MAX: Final = 100
GONE: Final = SavedMethod("", is_usable=False)
"""What the gateway keeps no longer: of all else nothing is known, and it stays."""
Work: TypeAlias = Callable[[Runtime, Gateway, Row], Awaitable[None]]

logger = log.get(__name__)


async def keep(tx: Tx, session: Session, saved: SavedMethod, now: datetime) -> UUID | None:
    """Attach what a set-up led to, inside the transaction that completes it; None where the
    customer is gone. A token that the customer has already is that same method.
    """
    merchant_id = session.merchant_id
    if not await customers.lock(tx, merchant_id, session.customer_id):
        return None
    place = merchant_id, session.gateway_account_id, session.customer_id, saved.reference
    known = await kept_methods.of_token(tx, *place)
    if known is None:
        method_id, is_new = new_id(), True
        await payment_methods.insert(tx, merchant_id, _new(session, method_id, saved), now)
    else:
        method_id, is_new = known["id"], known["detached_at"] is not None
        if is_new:
            await kept_methods.attach_again(tx, merchant_id, method_id)
        await kept_methods.renew(tx, known, saved, now)
    if session.make_default:
        await customers.set_default_payment_method(tx, merchant_id, session.customer_id, method_id)
    await dunning_due.method_changed(tx, merchant_id, session.customer_id, method_id, now)
    if is_new:
        await _tell(tx, merchant_id, method_id, Type.PAYMENT_METHOD_ATTACHED, now)
    return method_id


def _new(session: Session, id: UUID, saved: SavedMethod) -> payment_methods.NewPaymentMethod:
    return payment_methods.NewPaymentMethod(
        id=id,
        customer_id=session.customer_id,
        gateway_account_id=session.gateway_account_id,
        gateway_reference=saved.reference,
        gateway_customer_reference=saved.customer_reference or session.gateway_customer_reference,
        type=saved.type,
        brand=saved.brand,
        last_four=saved.last_four,
        expiry_month=saved.expiry_month,
        expiry_year=saved.expiry_year,
        metadata={},
        network_transaction_id=saved.network_transaction_id,
        fingerprint=saved.fingerprint,
        mandate=saved.mandate,
    )


async def settle_method(rt: Runtime, gateway: Gateway, claimed: Claimed) -> Verdict:
    """An event about a payment method: ours are as the gateway keeps them now."""
    reference = claimed.event.reference
    if reference is None:
        return Ignored(Reason.NOT_ACTED_UPON)
    account_id = claimed.account["gateway_account_id"]
    async with rt.db.begin_system() as tx:
        ours = await kept_methods.attached(tx, claimed.merchant_id, account_id, reference)
    if not ours:
        return Ignored(Reason.NOT_OURS)
    asked_at = rt.clock.now()
    found = await _ask(gateway, ours[0])
    if isinstance(found, Inconclusive):
        return Again(found.cause)
    if isinstance(found, NotFound) and not found.definitive:
        return Again("the gateway does not show it")
    saved = found.outcome if isinstance(found, Found) else GONE
    async with rt.db.begin(claimed.merchant_id) as tx:
        for row in await kept_methods.attached(tx, claimed.merchant_id, account_id, reference):
            await _renew(tx, row, saved, asked_at)
    return Settled()


async def refresh_due(rt: Runtime) -> int:
    """Ask about methods at gateways that tell nothing by themselves; how many were asked about."""
    polled = [name for name in registry.names() if _is_polled(name)]
    now, asked = rt.clock.now(), 0
    for _ in range(CHUNKS_MAX if polled else 0):
        async with rt.db.begin_system() as tx:
            rows = await kept_methods.claim_refreshing(tx, polled, now, now - REFRESH_EVERY, CHUNK)
        await _each(rt, rows, _refresh)
        asked += len(rows)
        if len(rows) < CHUNK:
            break
    return asked


async def detach_due(rt: Runtime) -> int:
    """Tell gateways to let go of what was detached; how many methods they were told of."""
    told = 0
    for _ in range(CHUNKS_MAX):
        now = rt.clock.now()
        async with rt.db.begin_system() as tx:
            rows = await kept_methods.claim_detaching(tx, now, now + LEASE, CHUNK)
        await _each(rt, rows, _detach)
        told += len(rows)
        if len(rows) < CHUNK:
            break
    return told


async def tell_expiring(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> int:
    """Tell of methods that expire soon, of each month once; how many were told of."""
    now = now or rt.clock.now()
    notice = timedelta(days=rt.settings.expiry_notice_days)
    told = 0
    for _ in range(CHUNKS_MAX):
        async with rt.db.begin_system() as tx:
            rows = await kept_methods.claim_expiring(tx, scope, now, notice, CHUNK)
            for row in rows:
                await _tell(tx, row["merchant_id"], row["id"], Type.PAYMENT_METHOD_EXPIRING, now)
        told += len(rows)
        if len(rows) < CHUNK:
            break
    return told


def _is_polled(name: str) -> bool:
    try:
        return registry.factory(name).capabilities.method_updates is News.POLL
    except Exception:
        logger.exception("vault.gateway_unusable", gateway=name)
        return False


async def _each(rt: Runtime, rows: Sequence[Row], work: Work) -> None:
    """Do something about each row, so many at once; a fault in one is logged and holds up none."""
    places = asyncio.Semaphore(rt.settings.charges_in_flight)

    async def one(row: Row) -> None:
        async with places:
            try:
                await work(rt, open_account(rt, row), row)
            except Exception:
                logger.exception("vault.fault", payment_method=str(row["id"]))

    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(one(row))


async def _refresh(rt: Runtime, gateway: Gateway, row: Row) -> None:
    asked_at = rt.clock.now()
    found = await _ask(gateway, row)
    if not isinstance(found, Found):
        return  # it is asked about again in a week; charges say sooner what is wrong
    async with rt.db.begin(row["merchant_id"]) as tx:
        fresh = await kept_methods.of_token(
            tx,
            row["merchant_id"],
            row["gateway_account_id"],
            row["customer_id"],
            row["gateway_reference"],
        )
        if fresh is not None and fresh["detached_at"] is None:
            await _renew(tx, fresh, found.outcome, asked_at)


async def _ask(gateway: Gateway, row: Row) -> MethodLookup:
    try:
        return await gateway.get_payment_method(_reference(row))
    except GatewayError as error:
        return Inconclusive(type(error).__name__)


async def _detach(rt: Runtime, gateway: Gateway, row: Row) -> None:
    key = f"perennial-detach-{row['id'].hex}"
    try:
        outcome: DetachOutcome | None = await gateway.detach_payment_method(
            _reference(row), idempotency_key=key
        )
    except GatewayError as error:
        logger.warning("vault.not_detached", payment_method=str(row["id"]), reason=str(error))
        outcome = None
    now, place = rt.clock.now(), (row["merchant_id"], row["id"])
    async with rt.db.begin(row["merchant_id"]) as tx:
        if isinstance(outcome, Detached):
            await kept_methods.let_go(tx, *place, now)
            return
        tries = row["detach_look_ups"]
        again = now + DETACH_DELAYS[tries] if tries < len(DETACH_DELAYS) else None
        await kept_methods.let_go_later(tx, *place, again)
    if again is None:
        logger.error("vault.never_detached", payment_method=str(row["id"]))


async def _renew(tx: Tx, row: Row, saved: SavedMethod, asked_at: datetime) -> None:
    before = await views.one(tx, views.PAYMENT_METHOD, row["merchant_id"], row["id"])
    assert before is not None
    if await kept_methods.renew(tx, row, saved, asked_at):
        about = row["merchant_id"], row["customer_id"], row["id"]
        await dunning_due.method_changed(tx, *about, asked_at)
        await _tell(
            tx, row["merchant_id"], row["id"], Type.PAYMENT_METHOD_UPDATED, asked_at, before
        )


async def _tell(
    tx: Tx, merchant_id: UUID, id: UUID, type: Type, now: datetime, before: Row | None = None
) -> None:
    after = await views.one(tx, views.PAYMENT_METHOD, merchant_id, id)
    assert after is not None
    previous = None if before is None else events.changed(before, after)
    await events.append(tx, merchant_id, type, views.PAYMENT_METHOD, after, now, previous)


def _reference(row: Row) -> MethodReference:
    return MethodReference(row["gateway_reference"], row["gateway_customer_reference"])
