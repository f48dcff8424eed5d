"""Many payments that fail, through the whole of their dunning, judged by the gateway's own ledger:
never past a limit, never after a hard decline, never two in flight, never charged twice.

`DUNNING_PAYMENTS` says how many.
"""

# ruff: noqa: T201  a campaign says how far it is

import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from app.domain.dunning_policy import Step
from tests.simulator import SimulatorProcess
from tests.world import World, open_world

NUMBER: Final = int(os.environ.get("DUNNING_PAYMENTS", "10000"))
BEGINS: Final = datetime(2026, 2, 1, 9, tzinfo=UTC)
ATTEMPTS_MAX: Final = 4
STEPS: Final = tuple(Step(days) for days in range(1, 7))
HARD: Final = frozenset({"expired_card", "lost_or_stolen", "fraud", "mandate_revoked"})
# What a card does, and how often it is asked: once, and at each of six steps at the most, but never
# more than four times in all.
CARDS: Final = {
    "pm_sim_declined_insufficient_funds": 4,
    "pm_sim_declined_do_not_honor": 4,
    "pm_sim_declined_issuer_unavailable": 4,
    "pm_sim_declined_limit_exceeded": 4,
    "pm_sim_declined_account_not_enabled": 4,
    "pm_sim_declined_expired": 1,
    "pm_sim_declined_lost_or_stolen": 1,
    "pm_sim_declined_mandate_revoked": 1,
    "pm_sim_declined_fraud": 1,
    "pm_sim_declined_authentication_required": 1,
    "pm_sim_succeeds_after_1_declines": 2,
    "pm_sim_succeeds_after_3_declines": 4,
    "pm_sim_succeeds_after_5_declines": 4,
}
PAYS: Final = frozenset({"pm_sim_succeeds_after_1_declines", "pm_sim_succeeds_after_3_declines"})
WEATHER: Final = (
    {"kind": "error_500_after", "probability": 0.01},
    {"kind": "error_429", "probability": 0.02},
)


MAKE_COPIES: Final = """
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT s.customer_id, m.id AS method_id, s.id AS subscription_id, i.id AS item_id, n,
           gen_random_uuid() AS new_customer_id, gen_random_uuid() AS new_method_id,
           gen_random_uuid() AS new_subscription_id, gen_random_uuid() AS new_item_id
      FROM subscriptions s JOIN payment_methods m ON m.customer_id = s.customer_id
      JOIN subscription_items i ON i.subscription_id = s.id, generate_series(1, $1) n
"""
COPIES: Final = (
    """
    INSERT INTO customers
    SELECT (jsonb_populate_record(c, jsonb_build_object(
                'id', k.new_customer_id, 'default_payment_method_id', k.new_method_id))).*
      FROM copies k JOIN customers c ON c.id = k.customer_id
    """,
    """
    INSERT INTO payment_methods
    SELECT (jsonb_populate_record(m, jsonb_build_object(
                'id', k.new_method_id, 'customer_id', k.new_customer_id,
                'gateway_reference', m.gateway_reference || '_' || k.n))).*
      FROM copies k JOIN payment_methods m ON m.id = k.method_id
    """,
    """
    INSERT INTO subscriptions
    SELECT (jsonb_populate_record(s, jsonb_build_object(
                'id', k.new_subscription_id, 'customer_id', k.new_customer_id))).*
      FROM copies k JOIN subscriptions s ON s.id = k.subscription_id
    """,
    """
    INSERT INTO subscription_items
    SELECT (jsonb_populate_record(i, jsonb_build_object(
                'id', k.new_item_id, 'subscription_id', k.new_subscription_id))).*
      FROM copies k JOIN subscription_items i ON i.id = k.item_id
    """,
)


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop that dunns by six daily steps, four attempts at the most."""
    simulator.clear_faults()
    async with open_world(clean_database, simulator, at=BEGINS, dunned=True) as opened:
        await opened.policy(steps=STEPS, attempts_max=ATTEMPTS_MAX, is_default=True)
        yield opened
    simulator.clear_faults()


async def sell(world: World, administrator: asyncpg.Connection, number: int) -> dict[str, str]:
    """So many subscriptions that begin tomorrow, each with a card of its own: stem by token.

    One for each kind of card is made by services, the others are copies of its rows.
    """
    price = await world.price("1000")
    for stem in CARDS:
        customer = await world.customer(stem)
        await world.subscribe(customer, price, start_at=BEGINS + timedelta(days=1))
    async with administrator.transaction():
        await administrator.execute(MAKE_COPIES, number // len(CARDS) - 1)
        for statement in COPIES:
            await administrator.execute(statement)
    rows = await world.fetch("SELECT gateway_reference FROM payment_methods")
    tokens = [row["gateway_reference"] for row in rows]
    return {token: next(stem for stem in CARDS if token.startswith(stem)) for token in tokens}


async def live(world: World, days: int) -> None:
    """Time goes by, six hours at a time."""
    for _ in range(days * 4):
        world.clock.advance(timedelta(hours=6))
        await world.tick()


def judge(world: World, cards: dict[str, str], *, fair: bool) -> Counter[str]:
    """The gateway's ledger, charge by charge; how often each kind of card was asked."""
    asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for charge in world.charges():
        asked[charge["payment_method"]].append(charge)
    assert asked.keys() == cards.keys(), "somebody was never asked"
    found: Counter[str] = Counter()
    for token, charges in asked.items():
        stem = cards[token]
        references = {charge["reference"] for charge in charges}
        assert len(references) == len(charges), "an attempt was made twice"
        assert len(charges) <= ATTEMPTS_MAX, f"{token} was asked {len(charges)} times"
        codes = [charge["decline_code"] for charge in charges]
        assert not HARD & set(codes[:-1]), f"{token} was asked again after {codes}"
        paid = [charge for charge in charges if charge["status"] == "succeeded"]
        assert len(paid) <= 1, f"{token} was charged {len(paid)} times"
        if fair:  # in foul weather a step may be over before the attempt before it is
            assert len(paid) == (stem in PAYS), f"{token} was charged {len(paid)} times"
            assert len(charges) == CARDS[stem], f"{token} was asked {len(charges)} times"
        found[stem] += len(charges)
    return found


async def dun(
    world: World,
    administrator: asyncpg.Connection,
    number: int,
    weather: tuple[dict[str, Any], ...] = (),
) -> None:
    began = time.monotonic()
    cards = await sell(world, administrator, number)
    sold = time.monotonic()
    assert world.simulator is not None
    if weather:
        world.simulator.set_faults(*weather, seed=1)
    await live(world, 9)
    world.simulator.clear_faults()
    await live(world, 1)
    done = time.monotonic()
    found = judge(world, cards, fair=not weather)
    rows = await world.fetch(
        """
        SELECT a.payment_id FROM payment_attempts a JOIN payment_attempts b
            ON b.merchant_id = a.merchant_id AND b.payment_id = a.payment_id
           AND b.ordinal = a.ordinal + 1
         WHERE b.created_at < a.settled_at OR a.settled_at IS NULL
        """
    )
    assert not rows, "an attempt began before the one before had ended"
    runs = Counter(row["status"] for row in await world.fetch("SELECT status FROM dunning_runs"))
    recovered = sum(stem in PAYS for stem in cards.values())
    if not weather:
        assert runs == Counter(recovered=recovered, exhausted=number - recovered)
    # A decline whose answer was lost, and that is asked for again, can have become a success.
    assert runs.total() <= number
    assert not runs.keys() - {"recovered", "exhausted"}
    await world.assert_clean()
    print(
        f"\ndunning: {number:,} failing payments, {sum(found.values()):,} attempts, {recovered:,}"
        f" recovered; sold in {sold - began:.0f} s, dunned in {done - sold:.0f} s"
    )


async def test_some_failing_payments_go_through_dunning(
    world: World, administrator: asyncpg.Connection
) -> None:
    await dun(world, administrator, 2 * len(CARDS))


async def test_some_go_through_it_in_foul_weather(
    world: World, administrator: asyncpg.Connection
) -> None:
    await dun(world, administrator, 2 * len(CARDS), WEATHER)


@pytest.mark.campaign
@pytest.mark.timeout(3 * 3600)
async def test_ten_thousand_failing_payments_go_through_dunning(
    world: World, administrator: asyncpg.Connection
) -> None:
    await dun(world, administrator, -(-NUMBER // len(CARDS)) * len(CARDS))
