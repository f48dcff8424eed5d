"""Situations of a shop, drawn at random: subscriptions with whatever prices, coupons and taxes."""

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.domain.discount import Duration
from app.domain.errors import BillingError
from app.domain.policy import Settlement, When
from app.domain.pricing import PriceModel, Timing
from app.services.changes import ChangedItem
from app.services.prices import TierAsked
from tests.world import World


class Situations:
    """A shop's catalogue, from which situations are drawn."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.draw = world, random.Random(seed)

    async def stock(self) -> None:
        world = self.world
        tiers = [TierAsked(3, "333.33", 100), TierAsked(None, "199.99", 0)]
        self.prices = [
            await world.price("999"),
            await world.price("3333.3333"),
            await world.price("1700", timing=Timing.ARREARS),
            await world.price("2501", setup_fee=777),
            await world.price(None, model=PriceModel.GRADUATED, tiers=tiers),
            await world.price("1000", model=PriceModel.PACKAGE, package_size=3),
        ]
        self.coupons = [
            await world.coupon(percent_off="33.3333", duration=Duration.FOREVER),
            await world.coupon(amount_off=701, currency="EUR", duration=Duration.ONCE),
            await world.coupon(percent_off="7", duration=Duration.REPEATING, duration_in_periods=2),
        ]
        self.taxes = [
            await world.tax_rate("19"),
            await world.tax_rate("8.875"),
            await world.tax_rate("7", inclusive=True),
        ]

    async def subscription(self) -> tuple[UUID, dict[str, Any], list[tuple[UUID, int]]]:
        draw = self.draw
        customer = await self.world.customer()
        if draw.random() < 0.3:
            await self.world.credit(customer, draw.randrange(1, 5000))
        items = [(p, draw.randrange(1, 9)) for p in draw.sample(self.prices, draw.randrange(1, 4))]
        options: dict[str, Any] = {
            "coupon_ids": draw.sample(self.coupons, draw.randrange(3)),
            "tax_rate_ids": draw.sample(self.taxes, draw.randrange(3)),
        }
        if draw.random() < 0.3:
            options["trial_days"] = draw.randrange(1, 20)
        if draw.random() < 0.3:
            options["billing_anchor"] = self.world.now + timedelta(days=draw.randrange(20, 28))
        return customer, options, items

    async def change(self, sub: UUID) -> tuple[list[ChangedItem], dict[str, Any]]:
        draw, items = self.draw, await self.world.items(sub)
        item = draw.choice(items)
        free = [p for p in self.prices if p not in {i["price_id"] for i in items}]
        changed = ChangedItem(
            id=item["id"],
            price_id=draw.choice(free) if draw.random() < 0.6 else None,
            quantity=draw.randrange(1, 9),
        )
        parts = [changed]
        if draw.random() < 0.3:
            parts.append(ChangedItem(price_id=draw.choice(free), quantity=draw.randrange(1, 4)))
        options: dict[str, Any] = {"settlement": draw.choice([None, *Settlement])}
        if draw.random() < 0.7:
            options["when"] = When.NOW
        return parts, options

    async def change_if_allowed(self, sub: UUID) -> None:
        """Change it in some way; what is refused is not done."""
        parts, how = await self.change(sub)
        with suppress(BillingError):
            await self.world.change(sub, *parts, **how)
