"""Discounts of one subscription, or of one of its items, while it runs."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import ids
from app.db import decisions, redemptions
from app.domain import discount, granting
from app.domain.errors import InvalidRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services import idempotency
from app.services.caller import Caller
from app.services.subscriptions import lock_caught_up


@dataclass(frozen=True, slots=True)
class GrantDiscount:
    """A coupon, by its id or by a promotion code, for a subscription or one of its items."""

    subscription_id: UUID
    coupon_id: UUID | None = None
    promotion_code: str | None = None
    item_id: UUID | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    expected_version: int | None = None


async def grant(rt: Runtime, caller: Caller, cmd: GrantDiscount) -> UUID:
    """Give a subscription a discount from its next bill on. Raises InvalidRequest, Conflict."""
    if (cmd.coupon_id is None) == (cmd.promotion_code is None):
        raise InvalidRequest("Give either a coupon or a promotion code.", param="coupon_id")
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, cmd.subscription_id, cmd.expected_version)
        sub = account.subscription
        if cmd.end_at is not None and cmd.end_at <= max(now, cmd.start_at or now):
            raise InvalidRequest("It must end in the future, after it begins.", param="end_at")
        [(coupon, code_id)] = await redemptions.resolve(
            tx,
            sub.customer_id,
            [] if cmd.coupon_id is None else [cmd.coupon_id],
            [] if cmd.promotion_code is None else [cmd.promotion_code],
            now,
            currency=sub.currency,
        )
        given = discount.redeem(
            coupon,
            new_id(),
            item_id=cmd.item_id,
            promotion_code_id=code_id,
            start_at=cmd.start_at,
            end_at=cmd.end_at,
        )
        await decisions.record(tx, [granting.grant(sub, given, now, new_id)], now)
        await redemptions.redeem(
            tx, coupon.id, code_id, sub.customer_id, now, subscription_id=sub.id
        )
        await idempotency.answered(tx, caller, ids.show("sub", sub.id))
    return cmd.subscription_id


async def take_off(
    rt: Runtime,
    caller: Caller,
    subscription_id: UUID,
    discount_id: UUID,
    expected_version: int | None = None,
) -> UUID:
    """Take a discount from a subscription; what was billed with it stays. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        account, now = await lock_caught_up(rt, tx, subscription_id, expected_version)
        decision = granting.take_off(account.subscription, discount_id, now, new_id)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("sub", subscription_id))
    return subscription_id
