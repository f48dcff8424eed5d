"""Features, and what customers are entitled to through the plans that run for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from app.db import features as rows
from app.db import views
from app.db.base import Row, Tx
from app.domain import entitlement
from app.domain.entitlement import Entitlement, Feature, FeatureType, Grant, Reset, Value
from app.domain.errors import InvalidRequest, Problem
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.metadata import merged


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateFeature:
    """Something that plans can give."""

    key: str
    name: str
    type: FeatureType
    description: str | None = None
    unit: str | None = None
    per_unit: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateFeature:
    """Fields to change; `metadata` is merged."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a plan is to give of a feature, named by its id or by its key."""

    value: Value
    feature_id: UUID | None = None
    key: str | None = None
    reset: Reset | None = None
    """None: a limit never resets."""


async def create(rt: Runtime, caller: Caller, cmd: CreateFeature) -> Row:
    """Create a feature. Raises InvalidRequest, Conflict where the key is taken."""
    if cmd.per_unit and cmd.type is not FeatureType.LIMIT:
        raise InvalidRequest("Only a limit can be given per unit.", param="per_unit")
    feature = Feature(new_id(), cmd.key, cmd.name, cmd.type, cmd.unit, cmd.per_unit)
    async with rt.db.begin(caller.merchant_id) as tx:
        now = rt.clock.now()
        await rows.insert(tx, caller.merchant_id, feature, cmd.description, cmd.metadata, now)
        return await _answer(tx, caller, feature.id)


async def update(rt: Runtime, caller: Caller, cmd: UpdateFeature) -> Row:
    """Change how a feature is called, or whether plans may still be given it."""
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(views.FEATURE)
        check_version(before, cmd.expected_version)
        fields: dict[str, Any] = dict(before) | dict(cmd.changes)
        fields["metadata"] = merged(
            orjson.loads(before["metadata"]), cmd.changes.get("metadata") or {}
        )
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        return await _answer(tx, caller, cmd.id)


async def of_customer(rt: Runtime, caller: Caller, id: UUID) -> tuple[Entitlement, ...]:
    """What all of a customer's subscriptions entitle to together. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        if await views.one(reader, views.CUSTOMER, caller.merchant_id, id) is None:
            raise lookup.missing(views.CUSTOMER)
        held = await rows.held_by_customer(reader, caller.merchant_id, id)
    return entitlement.entitlements(held)


async def of_subscription(rt: Runtime, caller: Caller, id: UUID) -> tuple[Entitlement, ...]:
    """What one subscription entitles to. Raises NotFound."""
    async with rt.db.read(caller.merchant_id) as reader:
        if await views.one(reader, views.SUBSCRIPTION, caller.merchant_id, id) is None:
            raise lookup.missing(views.SUBSCRIPTION)
        held = await rows.held_by_subscription(reader, caller.merchant_id, id)
    return entitlement.entitlements(held)


async def granted(tx: Tx, merchant_id: UUID, given: Sequence[Given]) -> list[Grant]:
    """The grants that a plan's features stand for. Raises InvalidRequest with every fault."""
    ids = {one.feature_id for one in given if one.feature_id is not None}
    found = await rows.named(tx, merchant_id, ids, {one.key for one in given if one.key})
    known: dict[object, tuple[Feature, bool]] = {}
    for feature, active in found:
        known[feature.id] = known[feature.key] = feature, active
    grants: list[Grant] = []
    faults: list[Problem] = []
    for place, one in enumerate(given):
        where = f"features[{place}]"
        named = known.get(one.feature_id or one.key)
        if named is None or not named[1]:
            faults.append(Problem("There is no such active feature.", where))
            continue
        feature = named[0]
        if any(grant.feature.id == feature.id for grant in grants):
            faults.append(Problem(f"{feature.key!r} is given twice.", where))
        else:
            faults += entitlement.problems(feature, one.value, f"{where}.value")
            if one.reset is Reset.PERIOD and feature.type is not FeatureType.LIMIT:
                faults.append(Problem("Only a limit can reset.", f"{where}.reset"))
            grants.append(Grant(feature, one.value, one.reset or Reset.NEVER))
    if faults:
        raise InvalidRequest.of(faults)
    return grants


async def _answer(tx: Tx, caller: Caller, id: UUID) -> Row:
    await idempotency.answered(tx, caller, show("ftr", id))
    row = await views.one(tx, views.FEATURE, caller.merchant_id, id)
    assert row is not None
    return row
