"""Subscribers who were billed elsewhere come in by a file, and go on as if nothing had happened."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg

from app.services import imports, test_clocks
from app.services.import_rows import Wanted, header, parse
from app.services.imports import Options, Tally
from tests.world import World

# The world opens on 31 January 2026, nine in the morning.
ROW = {
    "customer_external_id": "ada",
    "subscription_external_id": "ada-pro",
    "plan": "pro",
    "unit_amount": "29.85",
    "currency": "EUR",
    "started_at": "2025-03-31T12:00:00Z",
    "payment_token": "pm_sim_ok_ada",
}


def wanted(number: int = 2, **cells: str) -> Wanted:
    row = {name: cell for name, cell in (ROW | cells).items() if cell}
    read = parse(header(list(row)), number, list(row.values()))
    assert isinstance(read, Wanted), read
    return read


async def put(world: World, *rows: Wanted, **options: Any) -> Tally:
    chosen = Options(**{"create_plans": True, **options})
    run = await imports.begin(world.rt, world.caller, chosen, "subscribers.csv")
    return await imports.put(run, rows)


def refusals(tally: Tally) -> list[tuple[int, str, str]]:
    return [(row.number, f.column, f.code) for row in tally.broken for f in row.faults]


async def only_subscription(world: World) -> Any:
    [row] = await world.fetch("SELECT * FROM subscriptions")
    return row


async def test_a_running_subscriber_is_taken_over_at_its_anchor(world: World):
    tally = await put(world, wanted())
    assert (tally.imported, tally.customers, tally.plans, tally.prices) == (1, 1, 1, 1)
    sub = await only_subscription(world)
    # Boundaries count from 31 March 2025, noon: 31 December to 31 January contains now.
    assert sub["status"] == "active"
    assert sub["period_start"] == datetime(2025, 12, 31, 12, tzinfo=UTC)
    assert sub["period_end"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert sub["period_index"] == 9
    assert await world.invoices(sub["id"]) == []


async def test_its_first_bill_here_is_the_next_boundary_and_is_paid(world: World):
    await put(world, wanted())
    sub = await only_subscription(world)
    await world.advance(
        hours=3,
        expect=[
            "subscription.created",
            "subscription.renewed",
            "invoice.finalized",
            "payment.succeeded",
            "invoice.paid",
        ],
    )
    [invoice] = await world.invoices(sub["id"])
    assert (invoice["total"], invoice["status"]) == (2985, "paid")
    assert invoice["period_start"] == datetime(2026, 1, 31, 12, tzinfo=UTC)
    # 31 March, 31 January, 28 February: never drifting from the anchor.
    assert invoice["period_end"] == datetime(2026, 2, 28, 12, tzinfo=UTC)
    await world.assert_clean()


async def test_one_that_starts_later_is_scheduled(world: World):
    await put(world, wanted(started_at="2026-02-03T00:00:00Z"))
    assert (await only_subscription(world))["status"] == "scheduled"


async def test_a_trial_under_way_ends_when_it_was_to_end(world: World):
    await put(world, wanted(started_at="2026-01-20T00:00:00Z", trial_end="2026-02-10T08:30:00Z"))
    sub = await only_subscription(world)
    assert (sub["status"], sub["anchor"]) == ("trialing", datetime(2026, 2, 10, 8, 30, tzinfo=UTC))
    assert sub["next_action_at"] == sub["anchor"]


async def test_a_trial_that_is_over_is_the_anchor(world: World):
    await put(world, wanted(started_at="2025-12-01T00:00:00Z", trial_end="2025-12-15T00:00:00Z"))
    sub = await only_subscription(world)
    assert (sub["status"], sub["period_index"]) == ("active", 1)
    assert sub["period_end"] == datetime(2026, 2, 15, tzinfo=UTC)


async def test_what_a_row_says_is_kept(world: World):
    await world.coupon(percent_off="10", duration="forever")
    row = wanted(
        coupon="C1",
        collection_method="send_invoice",
        net_days="14",
        cancel_at="2026-06-01T00:00:00Z",
        quantity="3",
        name="Ada",
        country="GB",
        email="ada@example.com",
        **{"metadata.team": "blue"},
    )
    await put(world, row)
    sub = await only_subscription(world)
    assert (sub["collection_method"], sub["net_days"]) == ("send_invoice", 14)
    assert sub["cancel_at"] == datetime(2026, 6, 1, tzinfo=UTC)
    assert sub["metadata"] == '{"team":"blue"}'
    [customer] = await world.fetch("SELECT * FROM customers")
    assert (customer["name"], customer["country"]) == ("Ada", "GB")
    [method] = await world.fetch("SELECT * FROM payment_methods")
    assert method["id"] == customer["default_payment_method_id"]
    [discount] = await world.fetch("SELECT * FROM discounts")
    assert discount["periods_remaining"] is None


async def test_rows_share_customers_plans_and_prices(world: World):
    tally = await put(
        world,
        wanted(2, subscription_external_id="one"),
        wanted(3, subscription_external_id="two"),
        wanted(4, subscription_external_id="three", payment_token="pm_sim_ok_other"),
        wanted(5, subscription_external_id="four", unit_amount="5"),
    )
    assert (tally.imported, tally.customers, tally.plans, tally.prices) == (4, 1, 1, 2)
    methods = await world.fetch("SELECT id, gateway_reference FROM payment_methods")
    assert len(methods) == 2
    # Only what differs from the customer's default is pinned to a subscription.
    pinned = await world.fetch(
        "SELECT external_id FROM subscriptions WHERE payment_method_id <> $1", methods[0]["id"]
    )
    assert [row["external_id"] for row in pinned] in (["three"], [])
    versions = await world.fetch("SELECT price_version FROM prices ORDER BY 1")
    assert [row["price_version"] for row in versions] == [1, 2]


async def test_money_per_period_is_summed_by_currency_and_interval(world: World):
    tally = await put(
        world,
        wanted(2),
        wanted(3, subscription_external_id="two", quantity="2"),
        wanted(4, subscription_external_id="yen", currency="JPY", unit_amount="1500"),
        dry_run=True,
    )
    sums = {code: (money.minor, n) for (code, _), (money, n) in tally.per_period.items()}
    assert sums == {"EUR": (3 * 2985, 2), "JPY": (1500, 1)}


async def test_a_dry_run_writes_nothing(world: World):
    tally = await put(world, wanted(), dry_run=True)
    assert tally.imported == 1
    for table in ("customers", "plans", "prices", "subscriptions", "events"):
        assert await world.fetch(f"SELECT FROM {table}") == []


async def test_the_same_row_again_imports_nothing(world: World):
    await put(world, wanted())
    before = await world.fetch("SELECT * FROM subscriptions")
    tally = await put(world, wanted())
    assert (tally.imported, tally.existing, tally.broken) == (0, 1, [])
    assert await world.fetch("SELECT * FROM subscriptions") == before


async def test_a_changed_row_is_told_and_changes_nothing(world: World):
    await put(world, wanted())
    before = await world.fetch("SELECT * FROM subscriptions")
    tally = await put(world, wanted(unit_amount="5.00", quantity="2"))
    [broken] = tally.broken
    assert refusals(tally) == [(2, "unit_amount", "exists")]
    assert "unit_amount, quantity" in broken.faults[0].message
    assert await world.fetch("SELECT * FROM subscriptions") == before
    assert len(await world.fetch("SELECT FROM prices")) == 1


async def test_a_name_given_twice_in_a_chunk_is_imported_once(world: World):
    tally = await put(world, wanted(2), wanted(3), wanted(4, quantity="9"))
    assert (tally.imported, tally.existing) == (1, 1)
    assert refusals(tally) == [(4, "quantity", "exists")]


async def test_a_row_that_refers_to_nothing_is_refused_alone(world: World):
    tally = await put(
        world,
        wanted(2),
        wanted(3, subscription_external_id="b", coupon="NONE"),
        wanted(
            4, subscription_external_id="c", plan="", unit_amount="", currency="", lookup_key="none"
        ),
        wanted(5, subscription_external_id="d", cancel_at="2026-01-01T00:00:00Z"),
        wanted(6, subscription_external_id="e", cancel_at="2024-01-01T00:00:00Z"),
        wanted(7, subscription_external_id="f"),
    )
    assert tally.imported == 2
    assert refusals(tally) == [
        (3, "coupon", "coupon_not_found"),
        (4, "lookup_key", "price_not_found"),
        (5, "cancel_at", "already_ended"),
        (6, "cancel_at", "already_ended"),
    ]


async def test_plans_are_made_only_when_asked(world: World):
    tally = await put(world, wanted(), create_plans=False)
    assert refusals(tally) == [(2, "plan", "plan_not_found")]


async def test_a_price_is_named_by_its_lookup_key(world: World):
    price = await world.price("4900", lookup_key="pro-monthly")
    await put(world, wanted(plan="", unit_amount="", currency="", lookup_key="pro-monthly"))
    [item] = await world.fetch("SELECT price_id FROM subscription_items")
    assert item["price_id"] == price


async def test_what_the_database_refuses_harms_no_other_row(
    world: World, administrator: asyncpg.Connection
):
    await administrator.execute(
        "ALTER TABLE customers ADD CONSTRAINT for_a_test CHECK (email <> 'refused@example.com')"
    )
    try:
        rows = [
            wanted(
                n,
                customer_external_id=f"c{n}",
                subscription_external_id=f"s{n}",
                email="refused@example.com" if n == 9 else "",
            )
            for n in range(2, 22)
        ]
        tally = await put(world, *rows)
    finally:
        await administrator.execute("ALTER TABLE customers DROP CONSTRAINT for_a_test")
    assert tally.imported == 19
    assert refusals(tally) == [(9, "", "refused")]


async def test_two_imports_of_the_same_rows_at_once_import_each_once(world: World):
    rows = [
        wanted(n, customer_external_id=f"c{n}", subscription_external_id=f"s{n}")
        for n in range(2, 42)
    ]
    one, other = await asyncio.gather(put(world, *rows), put(world, *rows))
    assert one.imported + other.imported == 40
    assert one.existing + other.existing == 40
    assert one.broken + other.broken == []
    for table, n in {
        "subscriptions": 40,
        "customers": 40,
        "payment_methods": 40,
        "plans": 1,
    }.items():
        assert len(await world.fetch(f"SELECT FROM {table}")) == n


async def test_every_new_noun_is_told(world: World):
    await put(world, wanted())
    events = await world.fetch("SELECT type, data FROM events ORDER BY type")
    assert [event["type"] for event in events] == [
        "customer.created",
        "payment_method.attached",
        "subscription.created",
    ]
    assert '"external_id":"ada"' in events[0]["data"]


async def test_a_test_clock_says_what_time_it_is(world: World):
    clock = await test_clocks.create(
        world.rt, world.caller, "old times", datetime(2025, 1, 1, tzinfo=UTC)
    )
    await put(world, wanted(), test_clock_id=clock)
    sub = await only_subscription(world)
    assert (sub["status"], sub["test_clock_id"]) == ("scheduled", clock)
    # The customer lives on that clock now, and nothing of its else.
    tally = await put(world, wanted(subscription_external_id="other"))
    assert refusals(tally) == [(2, "customer_external_id", "test_clock_mismatch")]
