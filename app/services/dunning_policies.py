"""Dunning policies: made, changed, ended. What runs already goes on as it began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from app.db import dunning_policies as rows
from app.db.base import Row, Tx
from app.db.views import DUNNING_POLICY
from app.domain import dunning_policy
from app.domain.dunning_policy import Policy
from app.domain.errors import InvalidRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.coupons import check_there
from app.services.customers import check_version
from app.services.metadata import merged

NAMED = ("name", "is_default", "segment", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDunningPolicy:
    """How it is gone about, and for whom: these plans, this segment of customers, or all others."""

    code: str
    name: str
    policy: Policy
    is_default: bool = False
    segment: str | None = None
    plan_ids: Sequence[UUID] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateDunningPolicy:
    """Fields to change: those of a `Policy`, name, is_default, segment, active, plan_ids (all that
    it is for then), metadata (merged).
    """

    id: UUID
    changes: Mapping[str, Any]
    expected_version: int | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateDunningPolicy) -> Row:
    """Create a policy. Raises InvalidRequest with every fault of it, Conflict for a taken code or
    segment.
    """
    made = replace(cmd.policy, id=new_id())
    _check(made)
    named = {
        "code": cmd.code,
        "name": cmd.name,
        "is_default": cmd.is_default,
        "segment": cmd.segment,
        "metadata": cmd.metadata,
    }
    assert made.id is not None
    async with rt.db.begin(caller.merchant_id) as tx:
        await check_there(tx, "plans", cmd.plan_ids, "plan_ids")
        if cmd.is_default:
            await rows.no_default(tx, caller.merchant_id, made.id)
        await rows.insert(tx, caller.merchant_id, made, named, rt.clock.now())
        await rows.set_plans(tx, caller.merchant_id, made.id, cmd.plan_ids)
        return await answers.present(tx, caller, DUNNING_POLICY, made.id)


async def update(rt: Runtime, caller: Caller, cmd: UpdateDunningPolicy) -> Row:
    """Change a policy, for what fails from now on. Raises NotFound, Stale, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        before = await rows.lock(tx, caller.merchant_id, cmd.id)
        if before is None:
            raise lookup.missing(DUNNING_POLICY)
        check_version(before, cmd.expected_version)
        await _write(tx, caller, before, dict(cmd.changes))
        return await answers.present(tx, caller, DUNNING_POLICY, cmd.id)


async def _write(tx: Tx, caller: Caller, before: Row, changes: dict[str, Any]) -> None:
    merchant, policy_id = caller.merchant_id, before["id"]
    plans = changes.pop("plan_ids", None)
    metadata = merged(orjson.loads(before["metadata"]), changes.pop("metadata", None) or {})
    named = {name: changes.pop(name, before[name]) for name in NAMED}
    if not named["active"]:
        named["is_default"], plans = False, ()
    made = replace(rows.policy(policy_id, before["terms"]), **changes)
    _check(made)
    if plans is not None:
        await check_there(tx, "plans", plans, "plan_ids")
        await rows.set_plans(tx, merchant, policy_id, plans)
    if named["is_default"]:
        await rows.no_default(tx, merchant, policy_id)
    await rows.update(tx, merchant, made, named | {"metadata": metadata})


def _check(made: Policy) -> None:
    if problems := [*dunning_policy.problems(made)]:
        raise InvalidRequest.of(problems)
