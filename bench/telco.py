"""A real list of subscribers, imported and billed over its whole history, judged from the books.

`python -m bench.telco FILE` starts servers of its own, imports the list onto a test clock, moves
the clock through the years with every charge over HTTP, and compares what the books say with what
the list adds up to. The last line is for programs to read.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from app import ids
from app.bell import Silent
from app.embedded import Embedded
from app.runtime import Runtime, open_runtime
from app.services import audit, merchants, test_clocks
from app.services.caller import Caller
from app.settings import Settings
from bench.telco_convert import Expected, convert, months_before

START_SECONDS = 20
SIMULATOR_SECRET = "sk_sim_test"
ANALYZE_MONTHS = (2, 12)
"""After so many months statistics are gathered, as autovacuum does once there are enough rows."""


@dataclass(frozen=True)
class Books:
    """What the database and the gateway say in the end; amounts in cents."""

    invoices: int
    total: int
    paid: int
    gateway_charged: int
    gateway_duplicates: int
    findings: list[Any]

    @property
    def verdict(self) -> str:
        audited = "dirty" if self.findings else "clean"
        dollars = f"{self.total // 100}.{self.total % 100:02d}"
        return f"telco invoices={self.invoices} total={dollars} audit={audited}"

    def agree_with(self, expected: Expected) -> bool:
        return (
            self.invoices == expected.invoices
            and self.total == expected.total * 100
            and self.paid == self.gateway_charged
            and not self.gateway_duplicates
            and not self.findings
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="telco-customer-churn.csv")
    parser.add_argument("--rows", type=int, help="only so many subscribers")
    parser.add_argument("--in-flight", type=int, default=50, help="charges at once")
    given = parser.parse_args()
    if not given.file.is_file():
        parser.error(f"there is no file {given.file}")
    with tempfile.TemporaryDirectory(prefix="perennial-telco-") as folder:
        root = Path(folder)
        with Embedded(root / "servers") as servers, simulator(root) as url:
            os.environ |= {
                "DATABASE_URL": servers.start_postgres(),
                "PERENNIAL_SIMULATOR_URL": url,
            }
            perennial("migrate")
            return asyncio.run(bill(root, given.file, given.rows, given.in_flight))


def perennial(*words: str) -> None:
    """One of our own commands, in a process of its own; its failure is ours."""
    subprocess.run([sys.executable, "-m", "app.cli", *words], check=True)


@contextmanager
def simulator(root: Path) -> Iterator[str]:
    """A simulated gateway in a process of its own, for as long as the block lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app.simulator", f"--port={port}"]
    url = f"http://127.0.0.1:{port}"
    with (root / "simulator.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--ledger={root / 'simulator.sqlite3'}"],
            env=os.environ | {"PERENNIAL_SIMULATOR_SECRET": SIMULATOR_SECRET},
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((root / "simulator.log").read_text()[-2000:])
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def bill(root: Path, source: Path, rows: int | None, in_flight: int) -> int:
    """The whole run; the exit code."""
    console = Console()
    expected = convert(source, root / "subscribers.csv", rows)
    database = os.environ["DATABASE_URL"]
    chosen = Settings(database_url=SecretStr(database), charges_in_flight=in_flight)
    async with open_runtime(chosen, bell=Silent()) as rt:
        opened = await merchants.create(rt, merchants.CreateMerchant(name="Telco"), "bench")
        merchant = opened.merchant["id"]
        caller = Caller(merchant, False, None, frozenset({"*"}), ids.show("req", ids.new_id()))
        clock = await test_clocks.create(rt, caller, "telco", expected.start)
        took = await run_import(root, merchant, clock)
        console.print(f"Imported {expected.subscribers:,} subscribers in {took:.1f} s.")
        started = time.monotonic()
        await advance(rt, caller, clock, expected, console)
        took = time.monotonic() - started
        books = await read_books(rt, caller)
    show(books, expected, took, console)
    print(books.verdict, flush=True)
    return 0 if books.agree_with(expected) else 1


async def run_import(root: Path, merchant: Any, clock: Any) -> float:
    started = time.monotonic()
    await asyncio.to_thread(
        perennial,
        *("import", str(root / "subscribers.csv"), "--create-plans"),
        *("--merchant", ids.show("mer", merchant), "--test-clock", ids.show("clock", clock)),
    )
    return time.monotonic() - started


@dataclass
class Display:
    """Shows how far billing has come; the clock goes in legs, each of which counts from zero."""

    progress: Progress
    task: TaskID
    first_month: int
    before: tuple[int, int] = (0, 0)
    now: tuple[int, int] = (0, 0)

    def __call__(self, at: test_clocks.Progress) -> None:
        self.now = (self.before[0] + at.invoices, self.before[1] + at.succeeded)
        elapsed = self.progress.tasks[self.task].elapsed or 1
        self.progress.update(
            self.task,
            completed=month(at.at) - self.first_month,
            invoices=self.now[0],
            speed=self.now[0] / elapsed,
            charges=self.now[1],
        )


async def advance(
    rt: Runtime, caller: Caller, clock: Any, expected: Expected, console: Console
) -> None:
    """Move the clock from start to end, showing months, invoices and charges as they come."""
    first = month(expected.start)
    columns = (
        TextColumn("Billing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("months, {task.fields[invoices]:,} invoices, {task.fields[speed]:,.0f}/s,"),
        TextColumn("{task.fields[charges]:,} charges"),
        TimeRemainingColumn(),
    )
    total = month(expected.end) - first
    legs = [months_before(expected.end, total - n) for n in ANALYZE_MONTHS if n < total]
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total, invoices=0, speed=0, charges=0)
        display = Display(progress, task, first)
        for leg in (*legs, expected.end):
            await test_clocks.aim(rt, caller, clock, leg)
            await test_clocks.advance_all(rt, clock, display)
            display.before = display.now
            await analyze()


async def analyze() -> None:
    """Statistics, as autovacuum gathers them within a minute: plans for empty tables are poor."""
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("ANALYZE")
    await connection.close()


def month(at: Any) -> int:
    return int(at.year * 12 + at.month)


async def read_books(rt: Runtime, caller: Caller) -> Books:
    async with rt.db.begin(caller.merchant_id) as tx:
        totals = await tx.fetchrow("SELECT count(*), coalesce(sum(total), 0)::bigint FROM invoices")
        paid = await tx.fetchval("SELECT coalesce(sum(amount_captured), 0)::bigint FROM payments")
    report = await audit.run(rt, caller.merchant_id)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(
            f"{os.environ['PERENNIAL_SIMULATOR_URL']}/v1/ledger",
            params={"limit": 1},
            headers={"Authorization": f"Bearer {SIMULATOR_SECRET}"},
        )
    ledger = answer.raise_for_status().json()
    charged = sum(total["charged"] for total in ledger["totals"].values())
    assert totals is not None
    findings = [finding for finding in report.findings if finding.exceptions]
    return Books(totals[0], totals[1], paid, charged, len(ledger["duplicates"]), findings)


def show(books: Books, expected: Expected, seconds: float, console: Console) -> None:
    table = Table("", "the books", "the list", title="Billed and collected")
    table.add_row("invoices", f"{books.invoices:,}", f"{expected.invoices:,}")
    table.add_row("total, USD", dollars(books.total), f"{expected.total:,}")
    table.add_row(
        "charged, USD", dollars(books.paid), f"{dollars(books.gateway_charged)} (gateway)"
    )
    table.add_row("charged twice", str(books.gateway_duplicates), "0")
    console.print(table)
    for finding in books.findings:
        console.print(f"[red]{finding.name}: {finding.exceptions} exceptions[/] {finding.samples}")
    console.print(
        f"{seconds:.0f} s, {books.invoices / seconds:,.0f} invoices/s with their charges."
    )


def dollars(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02d}"


if __name__ == "__main__":
    sys.exit(main())
