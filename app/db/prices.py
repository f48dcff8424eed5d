"""Prices as decisions need them, whole and parsed."""

from collections.abc import Iterable
from uuid import UUID

import orjson

from app.db.base import Row, Tx
from app.domain import pricing
from app.domain.calendar import Interval, Unit
from app.domain.pricing import Price, PriceModel, TaxBehaviour, Tier, Timing, Usage

Key = tuple[UUID, UUID]


async def load(tx: Tx, keys: Iterable[Key]) -> dict[Key, Price]:
    """The prices with these (merchant, price) ids; what does not exist is missing."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """
        SELECT p.merchant_id, p.id, p.plan_id, p.price_version, p.lookup_key, p.nickname,
               p.currency, p.interval_unit, p.interval_count, p.model,
               p.unit_amount_decimal, p.tiers, p.package_size,
               p.timing, p.usage_type, p.tax_behaviour, p.setup_fee, p.trial_days,
               plans.name AS plan_name
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN prices p USING (merchant_id, id)
          JOIN plans ON plans.merchant_id = p.merchant_id AND plans.id = p.plan_id
        """,
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return {(row["merchant_id"], row["id"]): price(row) for row in rows}


def price(row: Row) -> Price:
    """The price that a row of `prices`, with its plan's name, stands for."""
    name, nickname = row["plan_name"], row["nickname"]
    return Price(
        id=row["id"],
        plan_id=row["plan_id"],
        version=row["price_version"],
        currency=row["currency"],
        interval=Interval(Unit(row["interval_unit"]), row["interval_count"]),
        model=PriceModel(row["model"]),
        unit_amount_scaled=_scaled(row["unit_amount_decimal"]),
        tiers=tuple(_tier(tier) for tier in orjson.loads(row["tiers"])),
        package_size=row["package_size"] or 1,
        timing=Timing(row["timing"]),
        usage=Usage(row["usage_type"]),
        tax_behaviour=TaxBehaviour(row["tax_behaviour"]),
        setup_fee_minor=row["setup_fee"],
        trial_days=row["trial_days"],
        description=f"{name} ({nickname})" if nickname else name,
        nickname=nickname,
        lookup_key=row["lookup_key"],
    )


def _scaled(decimal: str | None) -> int:
    return 0 if decimal is None else pricing.parse_unit_amount(decimal)


def _tier(tier: dict[str, object]) -> Tier:
    up_to, flat = tier["up_to"], tier.get("flat_amount") or 0
    assert up_to is None or isinstance(up_to, int)
    assert isinstance(flat, int)
    return Tier(up_to, pricing.parse_unit_amount(str(tier["unit_amount_decimal"])), flat)
