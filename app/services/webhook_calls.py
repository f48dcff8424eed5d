"""Telling endpoints: whatever is due in their lanes is sent, each lane for itself.

A lane is leased to one process at a time, so that an object's events arrive in order; it has one
call under way for sure, and further ones from what all lanes of the process share. Of endpoints
that fail one call is under way, and they take up half of the lanes at most. So neither a slow nor a
dead endpoint holds up another.

What a process that died had sent and not written down is sent again: at least once, under the same
identifier.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import ids, log
from app.db import views, webhook_deliveries, webhook_endpoints, webhook_lanes
from app.db.base import Row, Tx
from app.db.views import EVENT
from app.db.webhook_deliveries import Tried
from app.db.webhook_lanes import Key, Lease
from app.domain import delivery
from app.domain.delivery import Health
from app.ids import new_id
from app.notify.webhooks import Courier, Message, Sent, Target
from app.runtime import Runtime
from app.services import public
from app.services import webhook_endpoints as endpoints
from app.services.webhook_endpoints import SecretUnreadable

LEASE: Final = timedelta(seconds=90)
"""A lane whose process died is taken over after this long; a living one renews it in time."""
HELD_SECONDS: Final = 45.0
"""Calls begin this long after a lease was taken or renewed; they are over before it is."""
LOADED_MAX: Final = 100
"""Deliveries read at once, with their events."""
SETTLED_MAX: Final = 50
"""Attempts written down in one transaction."""
LINGER_SECONDS: Final = 0.02
"""How long an attempt that is over waits for others to be written down with."""
SLICE_SECONDS: Final = 20.0
"""After this long a lane lets others go first."""
RUN_SECONDS: Final = 120.0
"""A run takes up no lane after this long; the next one goes on."""
LOOK_SECONDS: Final = 0.5
"""How often a run looks for lanes that have become due meanwhile."""
ROUNDS_MAX: Final = 100_000
FAILING_SHARE: Final = 2
"""Endpoints that fail take up one lane in so many, at most."""
UNREADABLE: Final = timedelta(minutes=10)
"""How long an endpoint waits whose secret does not open: the ring of keys is to be mended."""
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """What a run came to."""

    attempts: int = 0
    delivered: int = 0

    def __add__(self, other: "Told") -> "Told":
        return Told(self.attempts + other.attempts, self.delivered + other.delivered)


@dataclass(slots=True)
class Places:
    """Calls beyond the first of a lane that may be under way, of all lanes together."""

    free: int


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery to be tried, with what is sent."""

    delivery_id: UUID
    object_id: UUID
    ordinal: int
    message: Message


@dataclass(frozen=True, slots=True)
class Done:
    """A job, when it began, and what came of it."""

    job: Job
    started_at: datetime
    sent: Sent


async def deliver_due(rt: Runtime, run_seconds: float = RUN_SECONDS) -> Told:
    """Serve every lane that is due, until none is or the time is over; what was told."""
    courier: Courier | None = None
    places = Places(rt.settings.webhooks_in_flight)
    running: dict[asyncio.Task[Told], Lease] = {}
    total, ends = Told(), time.monotonic() + run_seconds
    try:
        for _ in range(ROUNDS_MAX):
            leases = await _claim(rt, list(running.values())) if time.monotonic() < ends else []
            for lease in leases:
                courier = courier or _open(rt)
                lane = Lane(rt, lease, courier, places)
                running[asyncio.create_task(lane.run())] = lease
            if not running:
                break
            done, _pending = await asyncio.wait(
                running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                del running[task]
                total += task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if courier is not None:
            await courier.aclose()
    return total


def _open(rt: Runtime) -> Courier:
    settings = rt.settings
    return Courier(
        private=settings.private_addresses_allowed,
        total_timeout_seconds=settings.webhook_timeout_seconds,
    )


async def _claim(rt: Runtime, running: Sequence[Lease]) -> list[Lease]:
    """Lease lanes that are due, as many as there is room for; those that fail last."""
    lanes_max, now = rt.settings.webhooks_in_flight, rt.clock.now()
    failing = sum(lease.is_failing for lease in running)
    room = lanes_max - len(running)
    async with rt.db.begin_system() as tx:
        found = await webhook_lanes.claim(tx, new_id(), now, now + LEASE, room, failing=False)
        room = min(room - len(found), max(1, lanes_max // FAILING_SHARE) - failing)
        if room > 0:
            found += await webhook_lanes.claim(tx, new_id(), now, now + LEASE, room, failing=True)
    return found


@dataclass(slots=True)
class Lane:
    """One endpoint's deliveries, for a while."""

    rt: Runtime
    lease: Lease
    courier: Courier
    places: Places
    target: Target | None = None
    ready: list[Job] = field(default_factory=list)
    busy: set[UUID] = field(default_factory=set)
    """Deliveries under way, or over and not written down yet."""
    flying: dict[asyncio.Task[Done], bool] = field(default_factory=dict)
    """Calls under way; whether they take one of the places that are shared."""
    over: list[Done] = field(default_factory=list)
    """Calls that are over and not written down yet."""
    told: Told = field(default_factory=Told)
    limit: int = 1
    """Calls that may be under way at once."""
    is_dry: bool = False
    """Whether nothing further was due when it was looked at last."""
    ends: float = 0.0
    """When others should go first, by the monotonic clock; so are the two below."""
    held_until: float = 0.0
    """No call begins later, unless the lease is renewed: it must be over while it lasts."""
    write_by: float = 0.0

    async def run(self) -> Told:
        """Send what is due until nothing is, or until others should go first."""
        self.ends = time.monotonic() + SLICE_SECONDS
        self.limit = 1 if self.lease.is_failing else self.rt.settings.webhooks_per_endpoint
        try:
            await self._serve()
        except asyncio.CancelledError:
            await self._clear()
            await self._let_go(timedelta())
            raise
        except SecretUnreadable as error:
            logger.error("webhooks.secret_unreadable", reason=str(error))
            await self._clear()
            await self._let_go(UNREADABLE)
        except Exception:
            # Its lease runs out, and it is served again.
            logger.exception("webhooks.lane_fault", endpoint=str(self.lease.endpoint_id))
            await self._clear()
        return self.told

    async def _serve(self) -> None:
        for _ in range(ROUNDS_MAX):
            now = time.monotonic()
            if now >= min(self.ends, self.held_until):
                self.ready.clear()
            if not self.ready and not self.is_dry and now < self.ends:
                await self._load()
            self._start()
            if self.flying:
                await self._wait()
            elif not self.over:
                break
            if self._is_time_to_write():
                await self._write_down()
        await self._let_go(timedelta())

    async def _load(self) -> None:
        """Read the next deliveries, with the endpoint as it is now; nothing if it is not ours."""
        now, asked, key = self.rt.clock.now(), time.monotonic(), self.lease.key
        row, due = None, list[Row]()
        async with self.rt.db.begin_system() as tx:
            if await webhook_lanes.renew(tx, self.lease, now + LEASE):
                row = await webhook_endpoints.target(tx, key)
            if row is not None:
                due = await webhook_deliveries.due(tx, key, now, self.busy, LOADED_MAX)
            told = list({one["event_id"] for one in due})
            events = await views.some(tx, EVENT, self.lease.merchant_id, told)
        self.held_until = asked + HELD_SECONDS
        self.is_dry = len(due) < LOADED_MAX
        if row is not None and due:
            self.target = endpoints.target_of(self.rt, key, row, now)
            self.ready = _jobs(due, events)

    def _start(self) -> None:
        """Begin as many calls as there are places for; none before a failure is written down, which
        may end them all.
        """
        if not all(done.sent.reply.is_success for done in self.over):
            return
        for _ in range(len(self.ready)):
            shares = bool(self.flying)
            if len(self.flying) >= self.limit or (shares and not self.places.free):
                return
            self.places.free -= shares
            job = self.ready.pop(0)
            self.busy.add(job.delivery_id)
            self.flying[asyncio.create_task(self._call(job))] = shares

    async def _call(self, job: Job) -> Done:
        assert self.target is not None
        now = self.rt.clock.now()
        return Done(job, now, await self.courier.send(self.target, job.message, now))

    async def _wait(self) -> None:
        timeout = max(0.0, self.write_by - time.monotonic()) if self.over else None
        done, _ = await asyncio.wait(
            self.flying, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if done and not self.over:
            self.write_by = time.monotonic() + LINGER_SECONDS
        for task in done:
            self.places.free += self.flying.pop(task)
            self.over.append(task.result())

    def _is_time_to_write(self) -> bool:
        waited = not self.flying or time.monotonic() >= self.write_by
        return len(self.over) >= SETTLED_MAX or (bool(self.over) and waited)

    async def _write_down(self) -> None:
        """Write down what is over, and what that means for the endpoint; what is loaded goes to
        where it is now, if it still wants it.
        """
        over, self.over = self.over, []
        now, asked, key = self.rt.clock.now(), time.monotonic(), self.lease.key
        async with self.rt.db.begin_system() as tx:
            health = await _settle(tx, key, over, now)
            is_ours = await webhook_lanes.renew(tx, self.lease, now + LEASE)
            row = await webhook_endpoints.target(tx, key) if self.ready else None
        self.busy -= {done.job.delivery_id for done in over}
        self.told += Told(len(over), sum(done.sent.reply.is_success for done in over))
        self.held_until = asked + HELD_SECONDS if is_ours else 0.0
        self.is_dry = False  # the next of an object may have become due by this
        self.limit = 1 if health.failures else self.rt.settings.webhooks_per_endpoint
        if row is None:
            self.ready.clear()
        else:
            self.target = endpoints.target_of(self.rt, key, row, now)

    async def _let_go(self, rest: timedelta) -> None:
        """Write down what is over, and let others have the lane, after a `rest`."""
        if self.over:
            await self._write_down()
        async with self.rt.db.begin_system() as tx:
            await webhook_lanes.take(tx, self.lease.key)
            await webhook_lanes.release(tx, self.lease, self.rt.clock.now() + rest)

    async def _clear(self) -> None:
        """End the calls under way, of which nothing is known then, and begin no others."""
        self.ready.clear()
        for task, shares in self.flying.items():
            task.cancel()
            self.places.free += shares
        await asyncio.gather(*self.flying, return_exceptions=True)
        self.flying.clear()


def _jobs(due: Sequence[Row], events: Sequence[Row]) -> list[Job]:
    """The deliveries with what is sent: each event as `GET /v1/events/{id}` shows it."""
    messages = {
        row["id"]: Message(ids.show(EVENT.prefix, row["id"]), public.dump(public.shown(EVENT, row)))
        for row in events
    }
    return [
        Job(one["id"], one["object_id"], one["attempt_count"] + 1, messages[one["event_id"]])
        for one in due
    ]


async def _settle(tx: Tx, key: Key, over: Sequence[Done], now: datetime) -> Health:
    """Write attempts down, in the order they ended, and disable an endpoint that wants no more."""
    lane = await webhook_lanes.take(tx, key)
    replies = [done.sent.reply for done in over]
    health = delivery.health(Health(lane["failures"], lane["failing_since"]), replies, now)
    await webhook_deliveries.settle(tx, key, [_tried(done, now) for done in over], now)
    await webhook_lanes.note(tx, key, health)
    reason = delivery.disabling(health, replies, now)
    if reason is not None:
        await endpoints.disable(tx, key, reason, now)
    return health


def _tried(done: Done, now: datetime) -> Tried:
    job, sent = done.job, done.sent
    after = delivery.after(job.delivery_id, job.ordinal, sent.reply, now)
    return Tried(
        attempt_id=new_id(),
        delivery_id=job.delivery_id,
        object_id=job.object_id,
        ordinal=job.ordinal,
        started_at=done.started_at,
        duration_ms=sent.duration_ms,
        response_status=sent.reply.status,
        failure=sent.reply.failure,
        excerpt=sent.excerpt,
        status=after.status,
        due_at=after.due_at,
    )
