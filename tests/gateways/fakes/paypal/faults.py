"""Faults that can be switched on while the fake runs, in the words of the simulator's."""

import asyncio
from dataclasses import dataclass
from typing import Any

BEFORE_EFFECT = {"timeout_before_effect", "error_500_before", "error_429", "late_effect"}
OPERATIONS = {
    "orders.create": "charge",
    "orders.capture": "capture",
    "orders.authorize": "capture",
    "authorizations.capture": "capture",
    "authorizations.reauthorize": "reauthorize",
    "authorizations.void": "void",
    "orders.patch": "void",
    "captures.refund": "refund",
    "setup_tokens.create": "setup",
    "payment_tokens.create": "setup",
    "payment_tokens.delete": "detach",
    "oauth2.token": "token",
    "webhooks.verify": "webhook",
    "certificate": "certificate",
}
MOVING = ["charge", "capture", "void", "refund", "setup", "detach"]
HANG_SECONDS = 60


@dataclass
class Fault:
    """One fault, and how often it may still strike."""

    kind: str
    count: int | None = None
    skip: int = 0
    delay_ms: int = 0
    operations: tuple[str, ...] = tuple(MOVING)
    decline_code: str | None = None


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def set(self, given: list[dict[str, Any]]) -> None:
        self._faults = [
            Fault(**{**one, "operations": tuple(one.get("operations", MOVING))}) for one in given
        ]

    def strike(self, verb: str) -> tuple[Fault | None, int]:
        """What meets this request: at most one fault, and latency on top, in milliseconds."""
        operation = OPERATIONS.get(verb, "lookup")
        met, delay_ms = None, 0
        for fault in self._faults:
            if operation not in fault.operations or fault.count == 0:
                continue
            if met is not None and fault.kind != "latency":
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.count is not None:
                fault.count -= 1
            if fault.kind == "latency":
                delay_ms += fault.delay_ms
            else:
                met = fault
        return met, delay_ms


async def hang(receive: Any) -> None:
    """Until the caller goes away."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
