"""Usage in memory: told, and what it amounts to over a stretch of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.billing import UNUSED, Metered
from app.domain.metering import Aggregation


@dataclass(frozen=True, slots=True)
class Used:
    """Usage of an item at an instant."""

    at: datetime
    quantity: int
    events: int = 1


def together(how: Aggregation, spans: Sequence[Used]) -> Metered:
    """What usage amounts to. Of unique things, each span is taken to hold others."""
    if not spans:
        return UNUSED
    events = sum(used.events for used in spans)
    match how:
        case Aggregation.MAX:
            quantity = max(used.quantity for used in spans)
        case Aggregation.LAST:
            quantity = max(spans, key=lambda used: used.at).quantity
        case _:
            quantity = sum(used.quantity for used in spans)
    return Metered(max(0, quantity), events)
