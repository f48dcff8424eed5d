"""Plans and add-ons: what is sold, without what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from app.db import events, views
from app.db import plans as rows
from app.db.base import Row, Tx
from app.db.plans import NewPlan
from app.domain import policy
from app.domain.errors import InvalidRequest, Problem
from app.domain.event import Type
from app.domain.pricing import PlanKind
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import features, idempotency, lookup
from app.services.caller import Caller
from app.services.customers import check_version
from app.services.features import Given
from app.services.metadata import merged


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePlan:
    """What is sold, without what it costs."""

    code: str
    name: str
    description: str | None = None
    kind: PlanKind = PlanKind.PLAN
    addon_for: Sequence[UUID] = ()
    """The plans that an add-on goes with; none: all."""
    family: str | None = None
    """Plans of one family count as the same where trials are concerned."""
    rank: int = 0
    tax_code: str | None = None
    billing_settings: Mapping[str, object] = field(default_factory=dict)
    public: bool = True
    """Whether the public catalogue shows it."""
    features: Sequence[Given] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """Fields to change; `metadata` is merged, `features` and `addon_for` are replaced."""

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreatePlan) -> Row:
    """Create a plan. Raises InvalidRequest, Conflict where the code is taken."""
    _check_settings(cmd.billing_settings)
    plan = NewPlan(
        id=new_id(),
        code=cmd.code,
        name=cmd.name,
        description=cmd.description,
        kind=cmd.kind,
        family=cmd.family,
        rank=cmd.rank,
        tax_code=cmd.tax_code,
        billing_settings=cmd.billing_settings,
        public=cmd.public,
        metadata=cmd.metadata,
    )
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        await rows.insert(tx, caller.merchant_id, plan, now)
        await _surround(tx, caller, plan.id, cmd.kind, cmd.features, cmd.addon_for)
        row = await _answer(tx, caller, plan.id)
        await events.append(tx, caller.merchant_id, Type.PLAN_CREATED, views.PLAN, row, now)
    return row


async def update(rt: Runtime, caller: Caller, cmd: UpdatePlan) -> Row:
    """Change a plan; its subscribers have what it gives from now on. Raises NotFound, Stale."""
    changes = cmd.changes
    _check_settings(changes.get("billing_settings") or {})
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if await rows.lock(tx, caller.merchant_id, cmd.id) is None:
            raise lookup.missing(views.PLAN)
        before = await views.one(tx, views.PLAN, caller.merchant_id, cmd.id)
        assert before is not None
        check_version(before, cmd.expected_version)
        fields: dict[str, Any] = dict(before)
        fields["billing_settings"] = orjson.loads(before["billing_settings"])
        fields |= changes
        fields["metadata"] = merged(orjson.loads(before["metadata"]), changes.get("metadata") or {})
        await rows.update(tx, caller.merchant_id, cmd.id, fields)
        await _surround(
            tx,
            caller,
            cmd.id,
            PlanKind(before["kind"]),
            changes.get("features"),
            changes.get("addon_for"),
        )
        after = await _answer(tx, caller, cmd.id)
        previous = events.changed(before, after)
        await events.append(
            tx, caller.merchant_id, Type.PLAN_UPDATED, views.PLAN, after, now, previous
        )
    return after


async def _surround(
    tx: Tx,
    caller: Caller,
    id: UUID,
    kind: PlanKind,
    given: Sequence[Given] | None,
    addon_for: Sequence[UUID] | None,
) -> None:
    """Store what a plan gives and goes with, where that is said."""
    if given is not None:
        grants = await features.granted(tx, caller.merchant_id, given)
        await rows.give(tx, caller.merchant_id, id, grants)
    if addon_for is None or (not addon_for and kind is PlanKind.PLAN):
        return
    if kind is not PlanKind.ADDON:
        raise InvalidRequest("Only an add-on goes with other plans.", param="addon_for")
    plans = list(dict.fromkeys(addon_for))
    there = await rows.of_kind(tx, caller.merchant_id, PlanKind.PLAN, plans)
    for place, plan in enumerate(addon_for):
        if plan not in there:
            raise InvalidRequest(
                "There is no such plan.", code="reference_not_found", param=f"addon_for[{place}]"
            )
    await rows.go_with(tx, caller.merchant_id, id, plans)


def _check_settings(settings: Mapping[str, object]) -> None:
    if faults := list(policy.problems(settings)):
        raise InvalidRequest.of(
            Problem(fault.message, f"billing_settings.{fault.param}") for fault in faults
        )


async def _answer(tx: Tx, caller: Caller, id: UUID) -> Row:
    await idempotency.answered(tx, caller, show("plan", id))
    row = await views.one(tx, views.PLAN, caller.merchant_id, id)
    assert row is not None
    return row
