"""What becomes of an event that a gateway tells: it is a hint where to look, never the truth.

An event is settled by asking the gateway how the object stands now. So it may come twice, late and
in any order, and a verdict never depends on what the event itself claims.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final


class EventKind(StrEnum):
    """What a gateway's event is about, and so what is to be fetched."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    SETUP = "setup"
    METHOD = "method"
    OTHER = "other"
    """Nothing that we act on; it is kept all the same."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """What a verified delivery is about. It is a hint where to look, never the truth itself."""

    id: str
    """The gateway's id of the event: the same for each delivery of it."""
    type: str
    """In the gateway's own word."""
    kind: EventKind
    reference: str | None = None
    """The gateway's own name of the payment, refund, dispute, set-up or method."""
    our_reference: str | None = None
    """Our code, where the event carries it."""
    payment_reference: str | None = None
    """Of a refund or dispute: the gateway's name of the charge, where the event carries it."""
    occurred_at: datetime | None = None


class Status(StrEnum):
    """Where an event stands. The last four are ends; a person may send one back to the first."""

    RECEIVED = "received"
    SETTLED = "settled"
    """Our books say what the gateway's say about its object."""
    IGNORED = "ignored"
    """It is about nothing of ours, or nothing that we act on; `reason` says which."""
    ORPHANED = "orphaned"
    """Money moved at the gateway that no object of ours accounts for: reconciliation's affair."""
    FAILED = "failed"
    """It could not be settled in a long time: a person has to look."""


class Reason(StrEnum):
    """Why an event was ignored, or what kind of orphan it is."""

    NOT_ACTED_UPON = "not_acted_upon"
    """Events of this type change nothing here."""
    NOT_OURS = "not_ours"
    """About something at the gateway that we know nothing of and that moved no money."""
    UNKNOWN_AT_GATEWAY = "unknown_at_gateway"
    """The gateway itself does not know what the event is about."""
    FOREIGN = "foreign"
    """Money moved under no reference of ours: somebody else uses the account."""
    UNKNOWN_REFERENCE = "unknown_reference"
    """Money moved under a reference like ours that no attempt or refund bears."""
    CAPTURED_AGAIN = "captured_again"
    """Money moved a second time, or for an attempt that was closed without."""
    UNDONE_THERE = "undone_there"
    """Money that we have taken is not taken there any more: voided, or reversed."""
    REFUNDED_OTHERWISE = "refunded_otherwise"
    """A refund that is settled here went out twice, or though nothing is left to refund."""


DELAYS: Final = tuple(
    timedelta(seconds=s)
    for s in (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400)
)
"""When an event that could not be settled is taken up again; after the last it is parked."""
NOT_FOUND_ATTEMPTS_MAX: Final = 4
"""A gateway shows what it tells of within minutes; what it denies after that does not exist."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The object's present state is ours now."""

    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing follows from it."""

    reason: Reason
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Orphaned:
    """Money moved that nothing of ours accounts for."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was learned; `cause` is a short word. `is_absent`: the gateway says there is none."""

    cause: str
    is_absent: bool = False


Verdict = Settled | Ignored | Orphaned | Again


@dataclass(frozen=True, slots=True)
class Standing:
    """What an event becomes: its status, why, and when it is taken up again."""

    status: Status
    reason: Reason | None = None
    detail: str | None = None
    wait: timedelta | None = None


def standing(verdict: Verdict, attempts: int) -> Standing:
    """What `verdict`, after so many attempts before it, makes of an event."""
    match verdict:
        case Settled():
            return Standing(Status.SETTLED, detail=verdict.detail)
        case Ignored():
            return Standing(Status.IGNORED, verdict.reason, verdict.detail)
        case Orphaned():
            return Standing(Status.ORPHANED, verdict.reason, verdict.detail)
        case Again(is_absent=True) if attempts + 1 >= NOT_FOUND_ATTEMPTS_MAX:
            return Standing(Status.IGNORED, Reason.UNKNOWN_AT_GATEWAY, verdict.cause)
        case Again() if attempts >= len(DELAYS):
            return Standing(Status.FAILED, detail=verdict.cause)
        case Again():
            return Standing(Status.RECEIVED, detail=verdict.cause, wait=DELAYS[attempts])
