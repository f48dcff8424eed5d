"""Idempotency keys: the same unsafe request, sent again, is answered again and not done again.

A claim is a committed row with a lease, so it survives the process. The service that does the work
calls `answered` inside its own transaction: the work and its mark become true together. From there

- an answer that was kept is given again, byte for byte;
- a mark without an answer (the process died between commit and answer) is answered with what the
  request led to, as it is now;
- neither, and the lease over: nothing was done, and the next one to ask does it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import orjson

from app.db import idempotency as rows
from app.db.base import Row, Tx, dumps
from app.domain.errors import Conflict, InvalidRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services.caller import Caller, Claim

LEASE: Final = timedelta(seconds=30)
"""After a crash the key is busy this long. A slow holder loses nothing but its turn to answer."""
KEPT: Final = timedelta(hours=48)
"""How long an answer is kept: a client's retries are over long before."""
EXPIRED_CHUNK: Final = 5_000
"""Keys forgotten in one sweep: a short transaction."""


class InProgress(Conflict):
    """The same request is being answered at this moment."""

    code = "idempotency_key_in_use"
    retry_after_seconds = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What was answered before."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Done:
    """The work was done and not answered; `resource` is what it led to."""

    resource: str


async def claim(rt: Runtime, caller: Caller, key: str, request_hash: bytes) -> Claim | Kept | Done:
    """Take the right to answer `key`, or say what became of the request that came with it before.

    Raises InProgress, and InvalidRequest where the key came with another request.
    """
    now = rt.clock.now()
    taken = Claim(new_id(), now + LEASE)
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.unsynced(tx)
        for _ in range(2):  # again once: the row may be released between the two statements
            if await rows.insert(
                tx,
                caller.merchant_id,
                taken.id,
                key,
                request_hash,
                now,
                taken.lease_until,
                now + KEPT,
            ):
                return taken
            held = await rows.lock(tx, caller.merchant_id, key)
            if held is not None and held["expires_at"] > now:
                return await _judge(rt, tx, caller, held, request_hash)
            if held is not None:
                await rows.delete(tx, caller.merchant_id, held["id"])
    raise InProgress("This Idempotency-Key is being answered; ask again.")


async def _judge(
    rt: Runtime, tx: Tx, caller: Caller, held: Row, request_hash: bytes
) -> Claim | Kept | Done:
    now = rt.clock.now()
    if held["request_hash"] != request_hash:
        raise InvalidRequest(
            "This Idempotency-Key came with another request before.",
            code="idempotency_key_reused",
            param="Idempotency-Key",
        )
    if held["response_status"] is not None:
        headers = orjson.loads(held["response_headers"])
        return Kept(held["response_status"], held["response_body"], headers)
    if held["lease_until"] > now:
        raise InProgress("This Idempotency-Key is being answered; ask again.")
    if held["resource"] is not None:
        return Done(held["resource"])
    taken = Claim(held["id"], now + LEASE)
    await rows.take_over(tx, caller.merchant_id, taken.id, taken.lease_until)
    return taken


async def answered(tx: Tx, caller: Caller, resource: str) -> None:
    """Tie what the request led to (`"cus_…"`) to its key, in the transaction that does the work.

    Raises InProgress where another process took the key over meanwhile: that one does the work.
    """
    held = caller.claim
    if held is None:
        return
    if not await rows.mark(tx, caller.merchant_id, held.id, held.lease_until, resource):
        raise InProgress("Another request took this Idempotency-Key over; ask again.")


async def keep(rt: Runtime, caller: Caller, answer: Kept) -> None:
    """Keep the final answer for whoever asks again."""
    assert caller.claim is not None
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.unsynced(tx)
        await rows.finish(
            tx,
            caller.merchant_id,
            caller.claim.id,
            caller.claim.lease_until,
            rt.clock.now(),
            answer.status,
            answer.body,
            dumps(answer.headers),
        )


async def release(rt: Runtime, caller: Caller) -> None:
    """Give the key back after an answer that is not final."""
    assert caller.claim is not None
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.unsynced(tx)
        await rows.release(
            tx, caller.merchant_id, caller.claim.id, caller.claim.lease_until, rt.clock.now()
        )


async def forget_expired(rt: Runtime) -> int:
    """Delete keys whose time is over; returns how many."""
    async with rt.db.begin_system() as tx:
        return await rows.delete_expired(tx, rt.clock.now(), EXPIRED_CHUNK)
