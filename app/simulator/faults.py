"""Faults that can be switched on while the simulator runs, to see what a caller makes of them.

A fault meets a request with a probability, or the next `count` requests, or all; it may be limited
to one token. Chances are drawn by hashing (seed, kind, key, how often this key came), so the same
requests meet the same faults in whatever order they arrive. Faults live in memory: a restart clears
them.
"""

from collections import Counter
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.simulator.behaviour import DECLINE_CODES

DELAY_MS_MAX: Final = 30_000
"""Of latency, and again of a late effect: no effect is ever later than a minute."""
FAULTS_MAX: Final = 100
DRAW_BITS: Final = 64


class Operation(StrEnum):
    """What a request wants, as far as faults care."""

    CHARGE = "charge"
    REFUND = "refund"
    LOOKUP = "lookup"
    CAPTURE = "capture"
    VOID = "void"
    ORDER = "order"
    CUSTOMER = "customer"
    SETUP = "setup"
    DETACH = "detach"


class Kind(StrEnum):
    """What goes wrong, and whether money moves all the same."""

    LATENCY = "latency"
    """Everything as usual, `delay_ms` later."""
    TIMEOUT_BEFORE_EFFECT = "timeout_before_effect"
    """No answer, no effect."""
    TIMEOUT_AFTER_EFFECT = "timeout_after_effect"
    """The effect, no answer."""
    ERROR_500_BEFORE = "error_500_before"
    """500, no effect."""
    ERROR_500_AFTER = "error_500_after"
    """The effect, then 500."""
    ERROR_429 = "error_429"
    """Turned away, no effect."""
    CUT_BODY = "cut_body"
    """The effect, then half of the answer."""
    DUPLICATE = "duplicate"
    """The effect twice and one answer: a broken gateway, to be caught by reconciliation."""
    LATE_EFFECT = "late_effect"
    """500 now, the effect `delay_ms` later."""
    DECLINE = "decline"
    """Declined with `decline_code`, whatever the token says."""


BEFORE_EFFECT: Final = frozenset(
    {Kind.TIMEOUT_BEFORE_EFFECT, Kind.ERROR_500_BEFORE, Kind.ERROR_429, Kind.LATE_EFFECT}
)


class Fault(BaseModel):
    """One fault and when it strikes."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    count: Annotated[int | None, Field(ge=1)] = None
    """How many requests it may still meet; None means any number."""
    payment_method: str | None = None
    operations: frozenset[Operation] = frozenset({Operation.CHARGE, Operation.REFUND})
    delay_ms: Annotated[int, Field(ge=0, le=DELAY_MS_MAX)] = 0
    decline_code: str | None = None

    @model_validator(mode="after")
    def complete(self) -> "Fault":
        """A decline needs a code, and only a decline may have one."""
        if (self.kind is Kind.DECLINE) != (self.decline_code in DECLINE_CODES):
            raise ValueError(f"a decline needs a decline_code of {sorted(DECLINE_CODES)}")
        return self


class Plan(BaseModel):
    """All faults that are switched on; the first that strikes wins, latency comes on top."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    faults: Annotated[list[Fault], Field(max_length=FAULTS_MAX)] = []


class Strike(BaseModel):
    """What a request met: at most one fault, after `delay_ms` of latency."""

    fault: Fault | None = None
    delay_ms: int = 0


CALM: Final = Strike()


class Weather:
    """The plan in force, and the draws made from it so far."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._draws: Counter[tuple[int, str]] = Counter()

    def set(self, plan: Plan) -> None:
        """Put another plan in force; draws begin anew."""
        self.plan = plan
        self._draws.clear()

    def strike(self, operation: Operation, key: str, token: str | None) -> Strike:
        """What the request with this key meets; uses up counted faults."""
        if not self.plan.faults:
            return CALM
        delay_ms, met = 0, None
        for place, fault in enumerate(self.plan.faults):
            if met is not None and fault.kind is not Kind.LATENCY:
                continue
            if not self._strikes(place, fault, operation, key, token):
                continue
            if fault.kind is Kind.LATENCY:
                delay_ms += fault.delay_ms
            else:
                met = fault
        return Strike(fault=met, delay_ms=min(delay_ms, DELAY_MS_MAX))

    def _strikes(
        self, place: int, fault: Fault, operation: Operation, key: str, token: str | None
    ) -> bool:
        if operation not in fault.operations or fault.count == 0:
            return False
        if fault.payment_method is not None and fault.payment_method != token:
            return False
        if not self._drawn(place, fault, key):
            return False
        if fault.count is not None:
            fault.count -= 1
        return True

    def _drawn(self, place: int, fault: Fault, key: str) -> bool:
        if fault.probability >= 1:
            return True
        self._draws[place, key] += 1
        text = f"{self.plan.seed}:{place}:{fault.kind}:{key}:{self._draws[place, key]}"
        drawn = int.from_bytes(blake2b(text.encode(), digest_size=DRAW_BITS // 8).digest())
        return drawn < int(fault.probability * 2.0**DRAW_BITS)
