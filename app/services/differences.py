"""What differs between our books and a gateway's, told once: by a comparison, or as it is noticed.

A comparison finds the same later by the same key, so whoever comes first tells it, and nobody else.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app import log
from app.db import events, views
from app.db import reconciliations as rows
from app.db.base import Tx
from app.domain import reconciling
from app.domain.event import Type
from app.domain.outcome import Found, Refunded, Succeeded
from app.domain.payment import Attempt
from app.domain.reconciling import Difference, Kind
from app.domain.refund import Refund
from app.gateways.base import Gateway
from app.ids import show
from app.runtime import Runtime

logger = log.get(__name__)


async def found(
    tx: Tx, place: rows.Place, run_id: UUID | None, differences: Sequence[Difference], now: datetime
) -> int:
    """Keep differences of an account, and tell of those that are new; how many of all are open."""
    new, still_open = await rows.keep(tx, place, run_id, differences, now)
    for one in new:
        logger.error("difference.found", difference=show("diff", one))
        await _tell(tx, place[0], Type.RECONCILIATION_DIFFERENCE_FOUND, one, now)
    return still_open


async def resolved(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> None:
    """Tell that a difference is none any more."""
    await _tell(tx, merchant_id, Type.RECONCILIATION_DIFFERENCE_RESOLVED, id, now)


async def noticed(rt: Runtime, place: rows.Place, differences: Sequence[Difference]) -> None:
    """Keep and tell what was noticed between two comparisons; `place` is (merchant, account)."""
    if not differences:
        return
    async with rt.db.begin(place[0]) as tx:
        await found(tx, place, None, differences, rt.clock.now())


async def charged_again(
    rt: Runtime, gateway: Gateway, attempt: Attempt, others: Sequence[str]
) -> None:
    """The gateway has further charges for an attempt, named `others`: those that moved money."""
    differences = []
    for other in others:
        seen = await gateway.fetch_payment(other)
        if isinstance(seen, Found) and isinstance(seen.outcome, Succeeded):
            differences.append(reconciling.money_of(Kind.CHARGED_TWICE, attempt, seen.outcome))
    await noticed(rt, (attempt.merchant_id, attempt.gateway_account_id), differences)


async def refunded_again(
    rt: Runtime, gateway: Gateway, refund: Refund, payment: str | None, others: Sequence[str]
) -> None:
    """The gateway has further refunds for one of ours, named `others`: those that moved money."""
    assert refund.gateway_account_id is not None, "it was looked up at a gateway"
    differences = []
    for other in others:
        seen = await gateway.fetch_refund(other, payment)
        if isinstance(seen, Found) and isinstance(seen.outcome, Refunded):
            back = reconciling.money_back(seen.outcome, refund.reference, refund.payment_id)
            differences.append(back)
    await noticed(rt, (refund.merchant_id, refund.gateway_account_id), differences)


async def _tell(tx: Tx, merchant_id: UUID, type_: Type, id: UUID, now: datetime) -> None:
    row = await views.one(tx, views.RECONCILIATION_DIFFERENCE, merchant_id, id)
    assert row is not None
    await events.append(tx, merchant_id, type_, views.RECONCILIATION_DIFFERENCE, row, now)
