"""What becomes of an event's delivery to an endpoint: delivered, tried again later, or given up.

A delivery is tried at most ATTEMPTS_MAX times, at pauses that grow threefold from ten seconds up to
twelve hours: about three days in all. An endpoint that says it is gone is left alone at once; one
that took nothing at all for FAILING_MAX is, too.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

ATTEMPTS_MAX: Final = 14
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=12)
GROWTH: Final = 3
JITTER_PERMILLE: Final = 100
"""A pause is up to a tenth shorter or longer, so that what failed together does not return so."""
RETRY_AFTER_MAX: Final = timedelta(hours=1)
"""An endpoint may ask to be left alone for this long, not longer."""
FAILING_MAX: Final = timedelta(days=5)
"""Longer than a delivery is tried: whoever mends an endpoint within it loses nothing pending."""
GONE: Final = 410
SUCCESS: Final = range(200, 300)


class Status(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up: it was tried for the last time."""
    CANCELED = "canceled"
    """Its endpoint was deleted before it was delivered."""


class Cause(StrEnum):
    """Why there is a delivery."""

    EVENT = "event"
    """The event happened; there is one such delivery for an event and an endpoint at most."""
    RESEND = "resend"
    """Somebody asked for this one once more."""
    REPLAY = "replay"
    """Somebody asked for all of a time once more."""


class Disabled(StrEnum):
    """Why an endpoint is not called any more."""

    BY_REQUEST = "by_request"
    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    """It took nothing for FAILING_MAX."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an attempt came to: the answer's status, or a short word for why there is none."""

    status: int | None
    failure: str | None = None
    retry_after_seconds: int | None = None

    @property
    def is_success(self) -> bool:
        return self.status in SUCCESS and self.failure is None


@dataclass(frozen=True, slots=True)
class After:
    """A delivery after one more attempt; `due_at` is when it is tried again."""

    status: Status
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """How often in a row an endpoint failed, and since when."""

    failures: int = 0
    failing_since: datetime | None = None


def after(delivery_id: UUID, attempts: int, reply: Reply, now: datetime) -> After:
    """What follows from the reply to attempt number `attempts`, counted from one."""
    if reply.is_success:
        return After(Status.DELIVERED, None)
    if attempts >= ATTEMPTS_MAX:
        return After(Status.FAILED, None)
    wished = timedelta(seconds=reply.retry_after_seconds or 0)
    return After(
        Status.PENDING, now + max(pause(delivery_id, attempts), min(wished, RETRY_AFTER_MAX))
    )


def pause(delivery_id: UUID, attempts: int) -> timedelta:
    """How long a delivery waits after its attempt number `attempts`: always the same for the same
    two.
    """
    whole = min(FIRST_PAUSE * int(GROWTH ** (attempts - 1)), LONGEST_PAUSE)
    seed = hashlib.sha256(delivery_id.bytes + attempts.to_bytes(2)).digest()
    drawn = int.from_bytes(seed[:4]) % (2 * JITTER_PERMILLE + 1)
    return whole * (1000 - JITTER_PERMILLE + drawn) // 1000


def health(before: Health, replies: Iterable[Reply], now: datetime) -> Health:
    """The endpoint's health after further replies, in the order they came."""
    current = before
    for reply in replies:
        if reply.is_success:
            current = Health()
        else:
            current = Health(current.failures + 1, current.failing_since or now)
    return current


def disabling(current: Health, replies: Iterable[Reply], now: datetime) -> Disabled | None:
    """Why the endpoint is to be called no more, if it is."""
    if any(reply.status == GONE for reply in replies):
        return Disabled.GONE
    since = current.failing_since
    if since is not None and now - since >= FAILING_MAX:
        return Disabled.FAILING
    return None
