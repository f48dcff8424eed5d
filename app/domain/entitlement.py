"""What a customer may use: the features of the plans that run for them, added up. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from app.domain.errors import Problem
from app.domain.subscription import Status

UNLIMITED: Final = "unlimited"
"""The value of a limit that is none."""
LIMIT_MAX: Final = 1_000_000_000_000_000
"""Sums of many such limits, times quantities, still fit the database's 64-bit integers."""
TEXT_CHARS_MAX: Final = 500
GIVING: Final = frozenset({Status.ACTIVE, Status.TRIALING, Status.PAST_DUE})
"""A subscription that is behind still entitles; one that is paused or unpaid does not."""

Value: TypeAlias = bool | int | str


class FeatureType(StrEnum):
    """What the value of a feature is, and how several of them make one."""

    BOOLEAN = "boolean"
    """On where any plan has it on."""
    LIMIT = "limit"
    """The sum; `unlimited` where any plan has no limit."""
    CONFIG = "config"
    """A text; the highest ranking plan's."""


TAKES: Final[Mapping[FeatureType, str]] = {
    FeatureType.BOOLEAN: "true or false",
    FeatureType.LIMIT: f"a whole number up to {LIMIT_MAX}, or {UNLIMITED!r}",
    FeatureType.CONFIG: f"a text of up to {TEXT_CHARS_MAX} characters",
}


class Reset(StrEnum):
    """When what was used of a limit is forgotten."""

    PERIOD = "period"
    """With each billing period: 10,000 calls a month."""
    NEVER = "never"
    """It is a stock: 5 seats."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that plans give, under a key that the merchant's own code asks for."""

    id: UUID
    key: str
    name: str
    type: FeatureType
    unit: str | None = None
    per_unit: bool = False
    """Whether an item gives its limit once for each of its quantity: 10 GB a seat."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one plan gives of one feature."""

    feature: Feature
    value: Value
    reset: Reset = Reset.NEVER


@dataclass(frozen=True, slots=True)
class Held:
    """One item of one subscription, and what its plan gives."""

    subscription_id: UUID
    status: Status
    plan_id: UUID
    plan_rank: int
    quantity: int
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part of an entitlement comes from; `value` is that part."""

    subscription_id: UUID
    plan_id: UUID
    quantity: int
    value: Value


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a customer may use of one feature, and why."""

    feature: Feature
    value: Value
    reset: Reset
    sources: tuple[Source, ...]


def entitlements(held: Iterable[Held]) -> tuple[Entitlement, ...]:
    """What these items entitle to together, by key; what no running plan gives is absent.

    The order of the items does not matter. Where any part of a limit resets, the whole does.
    """
    found: dict[UUID, list[tuple[Held, Grant]]] = defaultdict(list)
    for item in held:
        if item.status in GIVING:
            for grant in item.grants:
                found[grant.feature.id].append((item, grant))
    whole = [_entitlement(parts) for parts in found.values()]
    return tuple(sorted(whole, key=lambda entitlement: entitlement.feature.key))


def problems(feature: Feature, value: Value, param: str) -> list[Problem]:
    """What keeps a plan from giving just so much of a feature."""
    if _is_sound(feature.type, value):
        return []
    return [Problem(f"{feature.key!r} takes {TAKES[feature.type]}.", param)]


def _is_sound(type: FeatureType, value: Value) -> bool:
    match type:
        case FeatureType.BOOLEAN:
            return isinstance(value, bool)
        case FeatureType.LIMIT:
            if isinstance(value, bool):  # which Python counts among the numbers
                return False
            return value == UNLIMITED or (isinstance(value, int) and 0 <= value <= LIMIT_MAX)
        case FeatureType.CONFIG:
            return isinstance(value, str) and 0 < len(value) <= TEXT_CHARS_MAX


def _entitlement(parts: Sequence[tuple[Held, Grant]]) -> Entitlement:
    ranked = sorted(parts, key=_place)
    feature = ranked[0][1].feature
    sources = tuple(
        Source(item.subscription_id, item.plan_id, item.quantity, _part(feature, item, grant))
        for item, grant in ranked
    )
    resets = any(grant.reset is Reset.PERIOD for _, grant in parts)
    value = _whole(feature.type, [source.value for source in sources])
    return Entitlement(feature, value, Reset.PERIOD if resets else Reset.NEVER, sources)


def _place(part: tuple[Held, Grant]) -> tuple[int, UUID, UUID]:
    """The highest rank first; of equals the older subscription's, then the older plan's."""
    item = part[0]
    return -item.plan_rank, item.subscription_id, item.plan_id


def _part(feature: Feature, item: Held, grant: Grant) -> Value:
    if feature.per_unit and isinstance(grant.value, int):
        return grant.value * item.quantity
    return grant.value


def _whole(type: FeatureType, values: Sequence[Value]) -> Value:
    match type:
        case FeatureType.BOOLEAN:
            return any(values)
        case FeatureType.LIMIT:
            if UNLIMITED in values:
                return UNLIMITED
            return sum(value for value in values if isinstance(value, int))
        case FeatureType.CONFIG:
            return values[0]
