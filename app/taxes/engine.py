"""What every adapter of a tax engine promises, and what the billing engine may know about it.

An adapter turns one engine's words into the values of app.domain.tax_engine. It opens no
transaction, keeps nothing and retries nothing. To add one: write the class, and name it in KINDS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from app.domain.tax_engine import Answer, Failure, Question


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What must be known about an engine to ask it, as data."""

    questions_max: int
    """In one call."""
    calls_max: int
    """At once, for one merchant."""
    ttl_seconds: int
    """How long an answer is good for, unless the merchant says otherwise."""


class TaxEngine(Protocol):
    """One merchant's open engine. Safe for several calls at once on one event loop."""

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    async def rates(self, asked: Sequence[Question]) -> Sequence[Answer | Failure]:
        """An answer or a failure for each question, in their order; one call, never raises for what
        the engine or the network does. At most `capabilities.questions_max` of one merchant's.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; the engine is not used afterwards."""
        ...
