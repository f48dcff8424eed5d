"""Who is asking: the one argument, next to the command, that every service function takes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to answer one Idempotency-Key, until `lease_until`, which also names the holder."""

    id: UUID
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """A merchant's request: the key it came with, what that key may do, and where to answer."""

    merchant_id: UUID
    livemode: bool
    key_id: UUID | None
    scopes: frozenset[str]
    request_id: str
    publishable: bool = False
    claim: Claim | None = None
