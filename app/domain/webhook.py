"""Which endpoint is told which event: by names, by nouns (`invoice.*`), or all of them (`*`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.domain.event import Type

EVERYTHING: Final = "*"
OF_A_NOUN: Final = ".*"
PING: Final = Type.WEBHOOK_ENDPOINT_PING
"""Goes to the endpoint it is about, whatever that one's filter, and to no other."""
NOUNS: Final = frozenset(type_.partition(".")[0] for type_ in Type if type_ is not PING)
PATTERNS: Final = frozenset(
    (EVERYTHING, *(noun + OF_A_NOUN for noun in NOUNS), *(t.value for t in Type if t is not PING))
)
"""Everything an endpoint may ask for."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, as far as it decides who is told."""

    id: UUID
    type: str
    object_id: UUID


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that is enabled, and what it asks for."""

    id: UUID
    patterns: frozenset[str]


def wants(endpoint: Endpoint, event: Told) -> bool:
    """Whether the endpoint is told of the event."""
    if event.type == PING:
        return event.object_id == endpoint.id
    noun = event.type.partition(".")[0]
    return not endpoint.patterns.isdisjoint((EVERYTHING, event.type, noun + OF_A_NOUN))


def fan_out(events: Sequence[Told], endpoints: Sequence[Endpoint]) -> Mapping[UUID, Sequence[Told]]:
    """What each endpoint is told, in the order of `events`; those that are told nothing are not
    named.
    """
    told = {endpoint.id: [e for e in events if wants(endpoint, e)] for endpoint in endpoints}
    return {endpoint: wanted for endpoint, wanted in told.items() if wanted}
