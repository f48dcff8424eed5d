"""Set-up sessions: how a customer's payment method comes to be kept at a gateway.

A session is written down before the gateway hears of it, like an attempt. From there the customer,
a webhook and the sweep may each bring what became of it; a set-up leads to one payment method, and
a late one is never lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from app.domain.outcome import NotExecuted, Unknown
from app.domain.vault import (
    MethodSaved,
    SetupFailed,
    SetupFlow,
    SetupOutcome,
    SetupPending,
    SetupStarted,
)


class Status(StrEnum):
    """Where a session stands. The last three end it."""

    STARTING = "starting"
    """Written down; the gateway has not answered yet."""
    OPEN = "open"
    """It is the customer's turn."""
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"


class Happening(StrEnum):
    """What moves a session on."""

    STARTED = "started"
    SAVED = "saved"
    REFUSED = "refused"
    RAN_OUT = "ran_out"


TRANSITIONS: Final[Mapping[tuple[Status, Happening], Status]] = MappingProxyType(
    {
        (Status.STARTING, Happening.STARTED): Status.OPEN,
        (Status.STARTING, Happening.SAVED): Status.COMPLETED,
        (Status.STARTING, Happening.REFUSED): Status.FAILED,
        (Status.STARTING, Happening.RAN_OUT): Status.EXPIRED,
        (Status.OPEN, Happening.SAVED): Status.COMPLETED,
        (Status.OPEN, Happening.REFUSED): Status.FAILED,
        (Status.OPEN, Happening.RAN_OUT): Status.EXPIRED,
        # The customer was late, and the gateway took it all the same.
        (Status.FAILED, Happening.SAVED): Status.COMPLETED,
        (Status.EXPIRED, Happening.SAVED): Status.COMPLETED,
    }
)
"""What may follow which state; absent means that nothing does."""
ENDED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.EXPIRED})

SEND_LEASE: Final = timedelta(minutes=3)
"""A call not answered by then belongs to a process that died; longer than any time-out."""
LIFE: Final = timedelta(hours=24)
"""How long a customer may take, unless the gateway says less."""
START_DELAYS: Final = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3_600))
"""When the gateway is asked again to begin; after the last the session has failed."""
CHECK_DELAYS: Final = tuple(timedelta(minutes=m) for m in (2, 10, 30, 120, 360))
"""When an open session is asked about though nobody told; then once more at its end."""
GRACE: Final = timedelta(days=1)
"""How long after its end a session is asked about while the gateway does not answer."""
UNREACHABLE: Final = "gateway_unreachable"


@dataclass(frozen=True, slots=True)
class Session:
    """One set-up; `code` is our reference at the gateway."""

    id: UUID
    merchant_id: UUID
    customer_id: UUID
    gateway_account_id: UUID
    status: Status
    code: str
    created_at: datetime
    expires_at: datetime
    make_default: bool = False
    flow: SetupFlow | None = None
    gateway_reference: str | None = None
    gateway_customer_reference: str | None = None
    payment_method_id: UUID | None = None
    failure_code: str | None = None
    failure_category: str | None = None
    detail: str | None = None
    look_ups: int = 0
    look_up_at: datetime | None = None
    ended_at: datetime | None = None
    version: int = 1

    @property
    def idempotency_key(self) -> str:
        """One set-up, one key, however often it is begun."""
        return f"perennial-{self.id.hex}"


def settle(session: Session, outcome: SetupOutcome, now: datetime) -> Session:
    """The session after `outcome`, whoever brought it; the same one where nothing follows.

    One that is completed has no payment method yet: whoever records it puts that in.
    """
    match outcome:
        case SetupStarted():
            return _started(session, outcome, now)
        case MethodSaved():
            return _moved(session, Happening.SAVED, now)
        case SetupFailed():
            refused = _moved(session, Happening.REFUSED, now)
            if refused is session:
                return session
            info = outcome.info
            return replace(refused, failure_code=info.reason, failure_category=info.category)
        case SetupPending():
            return _not_over(session, "the customer has not finished", now, is_reached=True)
        case Unknown() | NotExecuted():
            return _not_over(session, outcome.cause, now, is_reached=False)


def refused(session: Session, code: str, now: datetime) -> Session:
    """The session after the gateway would not begin it: our request or the account is at fault."""
    failed = _moved(session, Happening.REFUSED, now)
    return session if failed is session else replace(failed, failure_code=code)


def _started(session: Session, outcome: SetupStarted, now: datetime) -> Session:
    opened = _moved(session, Happening.STARTED, now)
    if opened is session:
        return session
    ends = [session.expires_at, *([outcome.expires_at] if outcome.expires_at else [])]
    return replace(
        opened,
        flow=outcome.flow,
        gateway_reference=outcome.gateway_reference,
        gateway_customer_reference=outcome.customer_reference or session.gateway_customer_reference,
        expires_at=min(ends),
        look_ups=0,
        look_up_at=min(now + CHECK_DELAYS[0], *ends),
    )


def _not_over(session: Session, detail: str, now: datetime, *, is_reached: bool) -> Session:
    """Nothing was decided: ask again later, until the session's time is over."""
    if session.status in ENDED:
        return session
    over = now >= session.expires_at
    if over and (is_reached or now >= session.expires_at + GRACE):
        return replace(_moved(session, Happening.RAN_OUT, now), detail=detail)
    delays = START_DELAYS if session.status is Status.STARTING else CHECK_DELAYS
    if session.look_ups >= len(delays):
        if session.status is Status.STARTING:
            return refused(session, UNREACHABLE, now)
        again = max(session.expires_at, now + delays[-1])
    else:
        again = now + delays[session.look_ups]
        again = again if over else min(again, session.expires_at)
    return replace(
        session,
        detail=detail,
        look_ups=session.look_ups + 1,
        look_up_at=again,
        version=session.version + 1,
    )


def _moved(session: Session, happening: Happening, now: datetime) -> Session:
    status = TRANSITIONS.get((session.status, happening))
    if status is None:
        return session
    ended = status in ENDED
    return replace(
        session,
        status=status,
        failure_code=None,
        failure_category=None,
        detail=None,
        look_up_at=None if ended else session.look_up_at,
        ended_at=now if ended else None,
        version=session.version + 1,
    )
