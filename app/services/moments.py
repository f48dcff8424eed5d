"""What time it is for a customer: the wall clock's, or its test clock's."""

from datetime import datetime
from uuid import UUID

from app.db import billing
from app.db.base import Tx
from app.domain.errors import Conflict
from app.runtime import Runtime


def time_of(rt: Runtime, frozen_at: datetime | None, clock_status: str | None) -> datetime:
    """What time it is for a customer: the wall clock's, or its test clock's while that stands."""
    if frozen_at is None:
        return rt.clock.now()
    if clock_status == "advancing":
        raise Conflict("The customer's test clock is advancing.", code="test_clock_advancing")
    return frozen_at


async def now_of_customer(rt: Runtime, tx: Tx, customer_id: UUID) -> datetime:
    """What time it is for a customer, inside a transaction of its merchant."""
    clock = await billing.clock_of_customer(tx, customer_id)
    return time_of(rt, clock["frozen_at"] if clock else None, clock["status"] if clock else None)
