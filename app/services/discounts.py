"""Discounts of customers: on every subscription of theirs, for as long as the coupon says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import customers, discounts, redemptions, views
from app.db.base import Row, Tx
from app.domain import discount
from app.domain.errors import InvalidRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services import answers, lookup
from app.services.caller import Caller
from app.services.subscriptions import now_of_customer

DISCOUNTS_MAX: Final = 10
"""On one customer: beyond it nobody can say what an invoice will be."""


@dataclass(frozen=True, slots=True)
class CreateDiscount:
    """A coupon, by its id or by a promotion code, for a customer; it may begin and end."""

    customer_id: UUID
    coupon_id: UUID | None = None
    promotion_code: str | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreateDiscount) -> Row:
    """Give a customer a discount. Raises NotFound, InvalidRequest, Conflict."""
    if (cmd.coupon_id is None) == (cmd.promotion_code is None):
        raise InvalidRequest("Give either a coupon or a promotion code.", param="coupon_id")
    async with rt.db.begin(caller.merchant_id) as tx:
        now = await _lock(rt, tx, caller, cmd.customer_id)
        if cmd.end_at is not None and cmd.end_at <= max(now, cmd.start_at or now):
            raise InvalidRequest("It must end in the future, after it begins.", param="end_at")
        if await discounts.count_of_customer(tx, caller.merchant_id, cmd.customer_id) >= (
            DISCOUNTS_MAX
        ):
            raise InvalidRequest(
                f"A customer has at most {DISCOUNTS_MAX} discounts.", code="too_many_discounts"
            )
        [(coupon, code_id)] = await redemptions.resolve(
            tx,
            cmd.customer_id,
            [] if cmd.coupon_id is None else [cmd.coupon_id],
            [] if cmd.promotion_code is None else [cmd.promotion_code],
            now,
        )
        given = discount.redeem(
            coupon,
            new_id(),
            customer_id=cmd.customer_id,
            promotion_code_id=code_id,
            start_at=cmd.start_at,
            end_at=cmd.end_at,
        )
        await discounts.insert(tx, caller.merchant_id, given, now)
        await redemptions.redeem(tx, coupon.id, code_id, cmd.customer_id, now)
        return await answers.present(tx, caller, views.DISCOUNT, given.id)


async def end(rt: Runtime, caller: Caller, customer_id: UUID, id: UUID) -> Row:
    """Take a discount from a customer; what was billed with it stays. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        now = await _lock(rt, tx, caller, customer_id)
        if not await discounts.end(tx, caller.merchant_id, customer_id, id, now):
            raise lookup.missing(views.DISCOUNT)
        return await answers.present(tx, caller, views.DISCOUNT, id)


async def _lock(rt: Runtime, tx: Tx, caller: Caller, customer_id: UUID) -> datetime:
    """Lock a customer, and say what time it is for it. Raises NotFound."""
    if not await customers.lock(tx, caller.merchant_id, customer_id):
        raise lookup.missing(views.CUSTOMER)
    return await now_of_customer(rt, tx, customer_id)
