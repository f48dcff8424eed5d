"""`perennial audit` and `perennial clock`, as programs of their own, on a shop left to itself."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from app import ids
from tests.world import World

ROOT = Path(__file__).parents[2]


@dataclass
class Commands:
    """The command line, on this worker's database and simulator."""

    environment: dict[str, str]

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli", *words),
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "160"} | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode()

    async def json(self, *words: str) -> Any:
        return orjson.loads((await self.run(*words, "--json"))[1])


@pytest.fixture
def perennial(world: World, clean_database: str) -> Commands:
    simulator = world.simulator.url
    return Commands({"DATABASE_URL": clean_database, "PERENNIAL_SIMULATOR_URL": simulator})


async def test_the_audit_names_what_breaks_a_promise(
    world: World, perennial: Commands, administrator: asyncpg.Connection
) -> None:
    await world.subscribe(await world.customer(), await world.price("1000"))
    [invoice] = await world.fetch("SELECT id FROM invoices")
    await administrator.execute("UPDATE invoice_lines SET amount = amount + 1")
    merchant = ids.show("mer", world.caller.merchant_id)
    code, printed = await perennial.run("audit", "--merchant", merchant)
    assert code == 1
    assert f"{merchant} {invoice['id']}" in printed
    findings = {f["name"]: f for f in (await perennial.json("audit"))["findings"]}
    assert findings["lines_add_up"]["exceptions"] == 1
    assert findings["numbers_gapless"]["exceptions"] == 0
    # The shop's clock stands still in the past: by the wall's, nobody has renewed it for long.
    assert findings["nothing_overdue"]["exceptions"] == 1


async def test_a_sweep_by_hand_does_what_is_due_and_the_books_are_clean(
    world: World, perennial: Commands
) -> None:
    await world.subscribe(await world.customer(), await world.price("1000"))
    before = {q["name"]: q for q in (await perennial.json("clock", "status"))["queues"]}
    assert (before["subscriptions"]["due"], before["subscriptions"]["overdue"]) == (1, 1)

    did = await perennial.json("clock", "run")
    # At least the nine months from 31 January to 24 November 2026, one invoice and charge each.
    assert did["invoices"] >= 9
    assert did["attempts"] == did["succeeded"] == did["invoices"]

    after = await perennial.json("clock", "status")
    assert not [q["name"] for q in after["queues"] if q["due"]]
    code, printed = await perennial.run("audit")
    assert code == 0
    assert "Clean: every promise holds." in printed


async def test_what_waits_for_a_person_is_shown_with_its_reason(
    world: World, perennial: Commands, administrator: asyncpg.Connection
) -> None:
    sub = await world.subscribe(await world.customer(), await world.price("1000"))
    await administrator.execute(
        "UPDATE subscriptions SET parked_at = created_at, parked_reason = 'too far behind'"
    )
    await administrator.execute(
        "UPDATE payment_attempts SET status = 'unknown', settled_at = NULL, look_up_at = NULL,"
        " detail = 'manual_review: lost'"
    )
    code, printed = await perennial.run("clock", "status")
    assert code == 0
    assert ids.show("sub", sub) in printed
    for words in ("Parked: 1", "too far behind", "Awaiting review: 1", "manual_review: lost"):
        assert words in printed
    assert "In flight: payments unknown 1." in printed


async def test_a_database_that_cannot_be_reached_is_said_in_a_sentence() -> None:
    nowhere = Commands({"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"})
    code, printed = await nowhere.run("audit")
    assert code == 1
    assert "The database cannot be reached. Check DATABASE_URL." in printed
    assert "Traceback" not in printed
