"""Which price a subscription would have fared best with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.db import advice as rows
from app.db import features, shops
from app.db.base import Tx
from app.domain import advice
from app.domain.advice import Advice
from app.domain.calendar import Period
from app.domain.errors import Conflict
from app.domain.subscription import Subscription
from app.ids import new_id
from app.runtime import Runtime
from app.services.caller import Caller
from app.services.subscriptions import now_of_customer

PERIODS_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class Advised:
    """The advice for each item, and the periods it looks at."""

    subscription: Subscription
    items: Sequence[Advice]


async def of_subscription(rt: Runtime, caller: Caller, id: UUID, periods: int) -> Advised:
    """Reprice the last `periods` periods of a subscription. Raises NotFound, Conflict."""
    async with rt.db.look(caller.merchant_id) as tx:
        found = await shops.rows_of_subscription(tx, id)
        now = await now_of_customer(rt, tx, found[0]["customer_id"])
        shop = await shops.load(tx, caller.merchant_id, found, now, new_id)
        sub = shop.subscriptions[id]
        spans = _periods(sub, periods)
        offered = await rows.offered(tx, caller.merchant_id, sub.currency)
        given = await _features(tx, caller, sub, [price.plan_id for price in offered])
        rounding = shop.policy.rounding
        items = [
            advice.advise(
                item.id,
                item.price,
                await rows.past(tx, sub, item, spans),
                offered,
                given,
                rounding,
            )
            for item in sub.items
        ]
    return Advised(sub, items)


def _periods(sub: Subscription, count: int) -> list[Period]:
    """The last whole periods, the oldest first; the present one where there is none before it."""
    if sub.period is None:
        raise Conflict("It has not started yet.", code="subscription_scheduled")
    first = max(0, sub.first_index, sub.period_index - count)
    past = [
        sub.interval.period(sub.anchor, index, sub.zone) for index in range(first, sub.period_index)
    ]
    return past or [sub.period]


async def _features(
    tx: Tx, caller: Caller, sub: Subscription, plans: Sequence[UUID]
) -> dict[UUID, frozenset[str]]:
    """The keys of the features that each plan gives."""
    wanted = {*plans, *(item.price.plan_id for item in sub.items)}
    grants = await features.grants_of(tx, caller.merchant_id, wanted)
    return {plan: frozenset(g.feature.key for g in given) for plan, given in grants.items()}
