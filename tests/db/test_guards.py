"""What may never change or never be twice: the database says no, whoever asks."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import asyncpg
import pytest

from app.domain import invoice, payment, refund, subscription
from tests.world import World

APPEND_ONLY = ("ledger_entries", "events", "audit_log", "balance_transactions")


@pytest.fixture
async def owner(clean_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of everything: no policy holds it back, the guards do."""
    connection = await asyncpg.connect(clean_database)
    yield connection
    await connection.close()


@pytest.fixture
async def books(world: World) -> World:
    """A paid invoice, an open one, a refund, and some credit."""
    customer = await world.customer()
    await world.credit(customer, 100)
    vat, off = await world.tax_rate("19"), await world.coupon(percent_off="10")
    await world.subscribe(customer, await world.price("1000"), tax_rate_ids=[vat], coupon_ids=[off])
    await world.refund((await world.payments())[0]["id"], 100)
    poor = await world.customer("pm_sim_declined_do_not_honor")
    await world.subscribe(poor, await world.price("1000"))
    return world


async def refuses(owner: asyncpg.Connection, match: str, sql: str, *args: Any) -> None:
    with pytest.raises(asyncpg.PostgresError, match=match):
        async with owner.transaction():
            await owner.execute(sql, *args)


async def one(owner: asyncpg.Connection, sql: str) -> Any:
    return await owner.fetchval(sql)


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_the_record_is_append_only_even_for_its_owner(
    books: World, owner: asyncpg.Connection, table: str
) -> None:
    assert await one(owner, f"SELECT count(*) FROM {table}") > 0
    for sql in (
        f"UPDATE {table} SET merchant_id = merchant_id",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        await refuses(owner, "append-only", sql)


@pytest.mark.parametrize(
    "change",
    [
        *("subtotal = subtotal + 1, total = total + 1, amount_due = amount_due + 1",),
        *("currency = 'USD'", "number = 'INV-9'", "series_number = 99", "customer_id = $1"),
        *("period_end = period_end + interval '1 day'", "finalized_at = now()"),
        *("cycle_start = cycle_start + interval '1 day'", "created_at = now()"),
        *("tax_total = tax_total + 1", "subscription_id = NULL", "billing_reason = 'manual'"),
    ],
)
async def test_a_final_invoice_never_changes(
    books: World, owner: asyncpg.Connection, change: str
) -> None:
    other = await one(owner, "SELECT id FROM customers ORDER BY id DESC LIMIT 1")
    args = [other] if "$1" in change else []
    where = "WHERE number = 'INV-000001'"
    await refuses(owner, "is final|violates", f"UPDATE invoices SET {change} {where}", *args)


async def test_a_final_invoice_and_its_lines_are_never_deleted_nor_added_to(
    books: World, owner: asyncpg.Connection
) -> None:
    await refuses(owner, "never deleted|violates foreign key", "DELETE FROM invoices")
    await refuses(owner, "never change|violates foreign key", "DELETE FROM invoice_lines")
    await refuses(owner, "never change", "UPDATE invoice_lines SET description = 'x'")
    for part in ("invoice_line_taxes", "invoice_line_discounts"):
        await refuses(owner, "never changes", f"UPDATE {part} SET amount = 0")
        await refuses(owner, "never changes", f"DELETE FROM {part}")
        await refuses(owner, "append-only", f"TRUNCATE {part}")
    await refuses(
        owner,
        "do not add up",
        "INSERT INTO invoice_lines (merchant_id, id, invoice_id, position, kind, description,"
        " quantity, period_start, period_end, amount, discount_amount, tax_amount)"
        " SELECT merchant_id, gen_random_uuid(), invoice_id, 99, kind, 'More', 1, period_start,"
        " period_end, 1, 0, 0 FROM invoice_lines LIMIT 1",
    )


STANDING = """
    SET LOCAL session_replication_role = replica;
    UPDATE invoices SET status = '{0}',
           amount_paid = CASE WHEN '{0}' = 'paid' THEN amount_due ELSE 0 END,
           paid_at = CASE WHEN '{0}' = 'paid' THEN created_at END,
           voided_at = CASE WHEN '{0}' = 'void' THEN created_at END
     WHERE number = 'INV-000002';
    SET LOCAL session_replication_role = origin
"""
MOVE = """
    UPDATE invoices SET status = $1::text,
           amount_paid = CASE WHEN $1 = 'paid' THEN amount_due ELSE 0 END,
           paid_at = CASE WHEN $1 = 'paid' THEN created_at END,
           voided_at = CASE WHEN $1 = 'void' THEN created_at END
     WHERE number = 'INV-000002'
"""


async def test_a_final_invoice_goes_only_where_the_table_leads(
    books: World, owner: asyncpg.Connection
) -> None:
    legal = {(a, b) for (a, _), b in invoice.TRANSITIONS.items()}
    final = [status for status in invoice.Status if status is not invoice.Status.DRAFT]
    for before, after in product(final, invoice.Status):
        if before is after:
            continue
        transaction = owner.transaction()
        await transaction.start()
        try:
            await owner.execute(STANDING.format(before))
            if (before, after) in legal:
                assert await owner.execute(MOVE, after) == "UPDATE 1"
            else:
                with pytest.raises(asyncpg.PostgresError, match=r"does not go from"):
                    await owner.execute(MOVE, after)
        finally:
            await transaction.rollback()


def stays(*ends: str) -> dict[str, set[str]]:
    """Ends that become nothing else."""
    return {end: {end} for end in ends}


SETTLED = (
    (
        "payments",
        payment.Status,
        stays("canceled", "reversed") | {"succeeded": {"succeeded", "reversed"}},
    ),
    ("payment_attempts", payment.AttemptStatus, stays("succeeded", "failed", "canceled")),
    ("refunds", refund.Status, refund.FOLLOWING),
    ("subscriptions", subscription.Status, stays("canceled", "incomplete_expired")),
)


@pytest.mark.parametrize(("table", "statuses", "following"), SETTLED, ids=[s[0] for s in SETTLED])
async def test_what_is_settled_takes_no_other_status(
    books: World, owner: asyncpg.Connection, table: str, statuses: Any, following: Any
) -> None:
    checks = await owner.fetch(
        "SELECT conname FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'", table
    )
    one = f"WHERE id = (SELECT id FROM {table} ORDER BY id LIMIT 1)"
    transaction = owner.transaction()
    await transaction.start()
    try:
        for check in checks:  # the guard alone is tried here, not the checks beside it
            await owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check['conname']}")
        for end, after in product(sorted(following), statuses):
            await owner.execute("SET LOCAL session_replication_role = replica")
            await owner.execute(f"UPDATE {table} SET status = '{end}' {one}")
            await owner.execute("SET LOCAL session_replication_role = origin")
            change = f"UPDATE {table} SET status = '{after}' {one}"
            if after in following[end]:
                await owner.execute(change)
            else:
                await refuses(owner, "stays so", change)
    finally:
        await transaction.rollback()


async def copy(owner: asyncpg.Connection, table: str, **changes: str) -> None:
    """Insert the first row of `table` again, some columns set to other SQL expressions."""
    names = await owner.fetch(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1"
        " ORDER BY ordinal_position",
        table,
    )
    columns = [row["name"] for row in names]
    values = ", ".join(changes.get(name, name) for name in columns)
    await owner.execute(
        f"INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {values} FROM {table} ORDER BY created_at, id LIMIT 1"
    )


async def test_a_period_is_billed_once(books: World, owner: asyncpg.Connection) -> None:
    fresh = {"id": "gen_random_uuid()", "number": "'X'", "series_number": "77"}
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_invoices_cycle"):
        await copy(owner, "invoices", **fresh)


async def test_a_number_is_given_once(books: World, owner: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="series_number"):
        await copy(owner, "invoices", id="gen_random_uuid()", cycle_start="NULL")


async def test_an_invoice_has_one_attempt_in_flight(
    books: World, owner: asyncpg.Connection
) -> None:
    flying = {
        "id": "gen_random_uuid()",
        "status": "'processing'",
        "reference": "gen_random_uuid()",
        "gateway_reference": "NULL",
        "settled_at": "NULL",
    }
    await copy(owner, "payment_attempts", ordinal="8", **flying)
    for status in ("processing", "unknown", "requires_action"):
        with pytest.raises(asyncpg.UniqueViolationError, match="in_flight"):
            await copy(
                owner, "payment_attempts", ordinal="9", **(flying | {"status": f"'{status}'"})
            )


async def test_an_invoice_has_one_live_payment(books: World, owner: asyncpg.Connection) -> None:
    live = {
        "status": "'requires_payment_method'",
        "amount_captured": "0",
        "amount_refunded": "0",
        "succeeded_at": "NULL",
    }
    await copy(owner, "payments", id="gen_random_uuid()", **live)
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_payments_live"):
        await copy(owner, "payments", id="gen_random_uuid()", **live)


async def test_one_charge_at_the_gateway_is_one_attempt(
    books: World, owner: asyncpg.Connection
) -> None:
    again = {"id": "gen_random_uuid()", "reference": "gen_random_uuid()", "ordinal": "9"}
    with pytest.raises(asyncpg.UniqueViolationError, match="gateway_reference"):
        await copy(owner, "payment_attempts", **again)
    with pytest.raises(asyncpg.UniqueViolationError, match="gateway_reference"):
        await copy(owner, "refunds", id="gen_random_uuid()", reference="gen_random_uuid()")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("payments", "amount_refunded = amount_captured + 1"),
        ("payments", "amount_refund_reserved = amount_captured"),
        ("payments", "amount_refunded = -1"),
        ("payments", "amount_captured = amount + 1"),
        ("payments", "amount = 0"),
        ("refunds", "amount = 0"),
        ("refunds", "amount = -5"),
        ("invoices", "amount_paid = amount_due + 1"),
        ("invoices", "amount_paid = -1"),
        ("customer_balances", "balance = -1"),
        ("subscriptions", "next_action_at = NULL"),
        ("subscriptions", "status = 'dreaming'"),
        ("subscription_items", "quantity = -1"),
        ("payment_attempts", "amount = -1"),
    ],
)
async def test_amounts_and_states_that_cannot_be_are_refused(
    books: World, owner: asyncpg.Connection, table: str, change: str
) -> None:
    await refuses(owner, "violates check constraint", f"UPDATE {table} SET {change}")


async def test_an_entry_moves_something_from_one_account_to_another(
    books: World, owner: asyncpg.Connection
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="two_accounts"):
        await owner.execute(
            "INSERT INTO ledger_entries SELECT merchant_id, gen_random_uuid(), source, source_id,"
            " debit, debit, currency, amount, effective_at FROM ledger_entries LIMIT 1"
        )
    with pytest.raises(asyncpg.CheckViolationError, match="amount"):
        await owner.execute(
            "INSERT INTO ledger_entries SELECT merchant_id, gen_random_uuid(), source, source_id,"
            " debit, credit, currency, 0, effective_at FROM ledger_entries LIMIT 1"
        )


async def test_the_simulator_is_no_gateway_for_real_money(
    books: World, owner: asyncpg.Connection
) -> None:
    await refuses(owner, "simulator_is_for_tests", "UPDATE gateway_accounts SET mode = 'live'")


async def test_every_trigger_function_looks_only_where_it_should(
    owner: asyncpg.Connection,
) -> None:
    loose = await owner.fetch(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%')"
    )
    assert loose == []
