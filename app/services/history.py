"""How things stood at an instant: subscriptions, customers' credit, and what they entitled to.

A subscription is as its last event by then says; events hold the whole of it, so nothing has to be
put together. What plans give is what they give now: that is not kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.db import features, history, prices, views
from app.db.base import Tx
from app.domain import entitlement
from app.domain.entitlement import Entitlement, Held
from app.domain.errors import InvalidRequest, NotFound
from app.domain.subscription import Status
from app.ids import show
from app.runtime import Runtime
from app.services import lookup
from app.services.caller import Caller
from app.services.public import shown
from app.services.subscriptions import now_of_customer


@dataclass(frozen=True, slots=True)
class Credit:
    """What stood to a customer's credit in one currency, in minor units."""

    currency: str
    amount: int


async def subscription(rt: Runtime, caller: Caller, id: UUID, as_of: datetime) -> dict[str, Any]:
    """A subscription as it was, as events show it. Raises NotFound, InvalidRequest."""
    async with rt.db.look(caller.merchant_id) as tx:
        row = await views.one(tx, views.SUBSCRIPTION, caller.merchant_id, id)
        if row is None:
            raise lookup.missing(views.SUBSCRIPTION)
        await _check(rt, tx, row["customer_id"], as_of)
        event = await history.snapshot(tx, caller.merchant_id, id, as_of)
    if event is None:
        raise _not_yet("subscription")
    then = shown(views.SUBSCRIPTION, orjson.loads(event["data"]))
    return then | {"as_of": as_of, "event_id": show("evt", event["id"])}


async def balances(rt: Runtime, caller: Caller, id: UUID, as_of: datetime | None) -> list[Credit]:
    """A customer's credit as it was, or as it is. Raises NotFound, InvalidRequest."""
    async with rt.db.look(caller.merchant_id) as tx:
        at = await _moment(rt, tx, caller, id, as_of)
        rows = await history.balances(tx, caller.merchant_id, id, at)
    return [Credit(row["currency"], row["amount"]) for row in rows]


async def entitlements_of_customer(
    rt: Runtime, caller: Caller, id: UUID, as_of: datetime
) -> tuple[Entitlement, ...]:
    """What a customer's subscriptions entitled to together. Raises NotFound, InvalidRequest."""
    async with rt.db.look(caller.merchant_id) as tx:
        await _moment(rt, tx, caller, id, as_of)
        rows = await history.snapshots_of_customer(tx, caller.merchant_id, id, as_of)
        held = await _held(tx, caller, [orjson.loads(row["data"]) for row in rows])
    return entitlement.entitlements(held)


async def entitlements_of_subscription(
    rt: Runtime, caller: Caller, id: UUID, as_of: datetime
) -> tuple[Entitlement, ...]:
    """What one subscription entitled to. Raises NotFound, InvalidRequest."""
    async with rt.db.look(caller.merchant_id) as tx:
        row = await views.one(tx, views.SUBSCRIPTION, caller.merchant_id, id)
        if row is None:
            raise lookup.missing(views.SUBSCRIPTION)
        await _check(rt, tx, row["customer_id"], as_of)
        event = await history.snapshot(tx, caller.merchant_id, id, as_of)
        if event is None:
            raise _not_yet("subscription")
        held = await _held(tx, caller, [orjson.loads(event["data"])])
    return entitlement.entitlements(held)


async def _held(tx: Tx, caller: Caller, then: Sequence[dict[str, Any]]) -> list[Held]:
    """The items of snapshots, with what their plans give."""
    merchant = caller.merchant_id
    ids = {UUID(item["price_id"]) for snapshot in then for item in snapshot["items"]}
    priced = await prices.load(tx, ((merchant, price_id) for price_id in ids))
    grants = await features.grants_of(tx, merchant, {price.plan_id for price in priced.values()})
    held = []
    for snapshot in then:
        for item in snapshot["items"]:
            price = priced[merchant, UUID(item["price_id"])]
            given = grants.get(price.plan_id, ())
            about, status = UUID(snapshot["id"]), Status(snapshot["status"])
            quantity = item["quantity"]
            held.append(Held(about, status, price.plan_id, price.plan_rank, quantity, given))
    return held


async def _moment(
    rt: Runtime, tx: Tx, caller: Caller, customer_id: UUID, as_of: datetime | None
) -> datetime:
    """The instant asked for, by which there is a customer. Raises NotFound, InvalidRequest."""
    row = await history.customer(tx, caller.merchant_id, customer_id)
    if row is None:
        raise lookup.missing(views.CUSTOMER)
    if as_of is None:
        return await now_of_customer(rt, tx, customer_id)
    await _check(rt, tx, customer_id, as_of)
    if as_of < row["created_at"] and row["test_clock_id"] is None:
        raise _not_yet("customer")
    return as_of


async def _check(rt: Runtime, tx: Tx, customer_id: UUID, as_of: datetime) -> None:
    if as_of > await now_of_customer(rt, tx, customer_id):
        raise InvalidRequest(
            "It lies in the future; a simulation looks there.",
            code="as_of_in_future",
            param="as_of",
        )


def _not_yet(noun: str) -> NotFound:
    return NotFound(f"There was no such {noun} yet.", code="not_there_yet")
