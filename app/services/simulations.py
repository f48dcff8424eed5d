"""Simulations: a customer, a subscription or a whole merchant, forked into memory and played."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from app.db import balances, billing, prices, shops
from app.db.base import Row, Tx
from app.domain import simulation
from app.domain.calendar import Interval, Unit
from app.domain.errors import InvalidRequest
from app.domain.money import WHOLE_PPM
from app.domain.policy import When
from app.domain.pricing import Price
from app.domain.shop import Shop
from app.domain.simulation import (
    ACTS_MAX,
    Act,
    Canceling,
    Changing,
    Failing,
    Pausing,
    Repricing,
    Resuming,
    Simulation,
    Subscribing,
    Succeeding,
    Using,
)
from app.domain.tax_engine import foreseen
from app.ids import new_id
from app.runtime import Runtime
from app.services import billing_ahead, changes, enrolment
from app.services.caller import Caller
from app.services.changes import ChangeSubscription
from app.services.enrolment import CreateSubscription
from app.services.subscriptions import now_of_customer

SUBSCRIPTIONS_MAX: Final = 100
"""In one simulation: their renewals over three years are worked off within seconds."""
MONTHS_MAX: Final = 36


@dataclass(frozen=True, slots=True)
class Change:
    """As a change through the API, at a moment; without a subscription: of all."""

    at: datetime
    command: ChangeSubscription
    about: UUID | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """A new subscription, as through the API, at a moment."""

    at: datetime
    command: CreateSubscription


@dataclass(frozen=True, slots=True)
class NewPrice:
    """Who has a price gets its next version: at another unit amount, or so many ppm dearer."""

    at: datetime
    price_id: UUID
    unit_amount_scaled: int | None
    change_ppm: int
    when: When | None = None
    about: UUID | None = None


Entry: TypeAlias = (
    Change | Create | NewPrice | Canceling | Pausing | Resuming | Failing | Succeeding | Using
)
"""One entry of a script, as it is asked for."""


@dataclass(frozen=True, slots=True)
class Simulate:
    """What is forked (a subscription, else a customer, else the merchant), and what is played."""

    subscription_id: UUID | None
    customer_id: UUID | None
    until: datetime | None
    months: int | None
    script: Sequence[Entry]


async def run(rt: Runtime, caller: Caller, cmd: Simulate) -> Simulation:
    """Play the script up to the end. Nothing is stored. Raises NotFound, InvalidRequest."""
    if len(cmd.script) > ACTS_MAX:
        raise InvalidRequest(f"A script has at most {ACTS_MAX} entries.", param="script")
    leads = await billing_ahead.leads(rt)
    async with rt.db.look(caller.merchant_id) as tx:
        rows, now = await _rows(rt, tx, cmd)
        until = _until(cmd, now)
        _check_moments(cmd, now, until)
        shop = await shops.load(tx, caller.merchant_id, rows, now, new_id)
        await billing_ahead.into(tx, shop, leads)
        script = [
            await _act(tx, caller, shop, entry, place, cmd)
            for place, entry in enumerate(cmd.script)
        ]
    acts = [_foreseen(act, now) for act in script]
    return await asyncio.to_thread(simulation.simulate, shop, acts, now, until)


def _foreseen(act: Act, now: datetime) -> Act:
    """The act, taxed as of today where a tax engine says the taxes."""
    if not isinstance(act, Subscribing):
        return act
    create = replace(act.create, taxation=foreseen(act.create.taxation, now))
    return replace(act, create=create)


async def _rows(rt: Runtime, tx: Tx, cmd: Simulate) -> tuple[list[Row], datetime]:
    """The subscriptions that are forked, and what time it is for them."""
    limit = SUBSCRIPTIONS_MAX + 1
    if cmd.subscription_id is not None:
        rows = await shops.rows_of_subscription(tx, cmd.subscription_id)
        return rows, await now_of_customer(rt, tx, rows[0]["customer_id"])
    if cmd.customer_id is not None:
        await billing.customer(tx, cmd.customer_id)
        rows = await shops.rows_of_customer(tx, cmd.customer_id, limit)
        now = await now_of_customer(rt, tx, cmd.customer_id)
    else:
        rows, now = await shops.rows_of_merchant(tx, limit), rt.clock.now()
    if len(rows) > SUBSCRIPTIONS_MAX:
        raise InvalidRequest(
            f"More than {SUBSCRIPTIONS_MAX} subscriptions run; simulate a customer or one of them.",
            code="too_many_subscriptions",
        )
    return rows, now


def _until(cmd: Simulate, now: datetime) -> datetime:
    """The end: given, or so many months from now. Raises InvalidRequest."""
    if cmd.until is None:
        return Interval(Unit.MONTH).after(now, cmd.months or MONTHS_MAX)
    if not now < cmd.until <= Interval(Unit.MONTH).after(now, MONTHS_MAX):
        raise InvalidRequest(
            f"A simulation ends in the future, within {MONTHS_MAX} months.", param="until"
        )
    return cmd.until


def _check_moments(cmd: Simulate, now: datetime, until: datetime) -> None:
    for place, entry in enumerate(cmd.script):
        if not now <= entry.at <= until:
            raise InvalidRequest(
                "It must lie between now and the end of the simulation.",
                param=f"script[{place}].at",
            )


async def _act(tx: Tx, caller: Caller, shop: Shop, entry: Entry, place: int, cmd: Simulate) -> Act:
    """The entry with everything it names. Raises InvalidRequest."""
    if isinstance(entry, Create):
        return await _subscribing(tx, caller, shop, entry, place, cmd)
    about = entry.about
    if about is not None and about not in shop.subscriptions:
        raise InvalidRequest(
            "This subscription is not among those that are simulated.",
            code="subscription_not_found",
            param=f"script[{place}].subscription_id",
        )
    match entry:
        case Change():
            if about is None and len(shop.subscriptions) != 1:
                raise InvalidRequest(
                    "Say which subscription changes.", param=f"script[{place}].subscription_id"
                )
            about = about or next(iter(shop.subscriptions))
            wanted = await changes.wanted(tx, shop.account(about), entry.command)
            return Changing(at=entry.at, about=about, change=wanted, when=entry.command.when)
        case NewPrice():
            price = await _price(tx, caller, entry, place)
            return Repricing(
                at=entry.at, about=about, price_id=entry.price_id, price=price, when=entry.when
            )
        case Failing(method_id=UUID() as method_id):
            if not await shops.is_method(tx, method_id):
                raise InvalidRequest(
                    "There is no such payment method.",
                    code="payment_method_not_found",
                    param=f"script[{place}].payment_method_id",
                )
            return entry
        case _:
            return entry


async def _price(tx: Tx, caller: Caller, entry: NewPrice, place: int) -> Price:
    key = caller.merchant_id, entry.price_id
    found = (await prices.load(tx, [key])).get(key)
    if found is None:
        raise InvalidRequest(
            "There is no such price.", code="price_not_found", param=f"script[{place}].price_id"
        )
    if entry.unit_amount_scaled is not None and found.tiers:
        raise InvalidRequest(
            "A price with tiers has no unit amount; change it by a percentage.",
            param=f"script[{place}].unit_amount",
        )
    assert entry.change_ppm >= -WHOLE_PPM
    return simulation.repriced(found, entry.unit_amount_scaled, entry.change_ppm, new_id)


async def _subscribing(
    tx: Tx, caller: Caller, shop: Shop, entry: Create, place: int, cmd: Simulate
) -> Subscribing:
    wanted = entry.command
    if cmd.subscription_id is not None or cmd.customer_id not in (None, wanted.customer_id):
        raise InvalidRequest(
            "This customer is not among those that are simulated.",
            param=f"script[{place}].customer_id",
        )
    customer = await billing.customer(tx, wanted.customer_id)
    order = await enrolment.whole(tx, caller, wanted, customer, entry.at)
    method_id = wanted.payment_method_id or customer["default_payment_method_id"]
    key = caller.merchant_id, wanted.customer_id, order.create.items[0][0].currency
    if key[1:] not in shop.credit:
        shop.credit[key[1:]] = (await balances.load(tx, [key]))[key].amount
    if wanted.customer_id not in shop.desk.backups:
        shop.desk.backups |= await shops.backups(tx, [wanted.customer_id])
    return Subscribing(at=entry.at, create=order.create, method_id=method_id)
