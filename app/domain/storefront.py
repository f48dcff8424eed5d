"""Which prices a shop's page shows to a country and in a currency. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

from app.domain.pricing import Price


def in_effect(
    prices: Iterable[Price], country: str | None = None, currency: str | None = None
) -> list[Price]:
    """The prices that are sold there, in their order.

    Of prices that stand for one another, those made for the country win over those that hold
    everywhere. Without a country only the latter are shown, without a currency all of them.
    """
    sold = [
        price
        for price in prices
        if price.active and (currency is None or price.currency == currency)
    ]
    local: dict[Hashable, bool] = defaultdict(bool)
    for price in sold:
        local[_slot(price)] |= country is not None and country in price.countries
    return [price for price in sold if _is_shown(price, country, local=local[_slot(price)])]


def _slot(price: Price) -> Hashable:
    """What prices have in common that stand for one another."""
    return price.plan_id, price.currency, price.type, price.interval, price.usage, price.meter_id


def _is_shown(price: Price, country: str | None, *, local: bool) -> bool:
    return country in price.countries if local else not price.countries
