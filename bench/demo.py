"""`make demo`: the whole service on this machine, a year of an invented shop, and what came of it.

Starts PostgreSQL, Valkey, the simulated gateway, the API and a worker; plays the year through the
public HTTP API; proves the books; and leaves the service running until Ctrl-C. With
PERENNIAL_DEMO_EXIT=1 it ends after the summary: 0 if the audit is clean, 1 if not.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli import serve
from app.embedded import Embedded, EmbeddedError, die_with_parent
from bench.shop import OPENING, Api, Shop, invent, month_after, together

CUSTOMERS = 300
MONTHS = 12
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
REQUEST_SECONDS_MAX = 30
BAR_CHARS = 18
LOG = "service.log"
LOG_LINES_SHOWN = 40
SIMULATOR_KEY = "sk_sim_test"

FRESH = {"autovacuum_naptime": "2s"}
"""A new database plans for empty tables; it grows so fast here that it had better look often."""

console = Console()


@dataclass(frozen=True)
class Service:
    """The running service: where it answers, and what a command needs to reach its database."""

    url: str
    simulator: str
    admin_key: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Played:
    """The shop after its story, its API key, and whether the gateway's books equal ours."""

    shop: Shop
    key: str
    agree: bool


@contextmanager
def running(root: Path, any_port: bool = False) -> Iterator[Service]:
    """The whole service, for as long as the block lasts; all of it is down afterwards."""
    wanted = (0, 0) if any_port else (serve.API_PORT, serve.SIMULATOR_PORT)
    port, simulator_port = map(free_port, wanted)
    with Embedded(root) as embedded:
        environment = os.environ | {
            "DATABASE_URL": embedded.start_postgres(settings=FRESH),
            "REDIS_URL": embedded.start_valkey(),
            "PERENNIAL_ADMIN_KEY": secrets.token_urlsafe(24),
            "PERENNIAL_LOG_LEVEL": "warning",
        }
        words = (f"--port={port}", f"--simulator-port={simulator_port}", f"--data={root}")
        command = [*die_with_parent(signal.SIGTERM), *serve.perennial("dev", *words)]
        with (root / LOG).open("wb") as output:
            # In a session of its own: Ctrl-C is for us, who then stop it in good order.
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(process, url)
            yield Service(
                url,
                f"http://127.0.0.1:{simulator_port}",
                environment["PERENNIAL_ADMIN_KEY"],
                environment,
            )
        finally:
            stop(process)


def free_port(wanted: int) -> int:
    """The wanted port, or another one that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise RuntimeError("There is no free port.")


def wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not _answers(f"{url}/readyz"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("The service did not start.")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.HTTPError:
        return False


def last_words(log: Path) -> str:
    """The end of what the service said."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def play(service: Service, customers: int, months: int) -> Played:
    """The shop's whole story, and what came of it."""
    async with httpx.AsyncClient(base_url=service.url, timeout=REQUEST_SECONDS_MAX) as client:
        client.headers["authorization"] = f"Bearer {service.admin_key}"
        body = {"name": "Demo", "mode": "test", "default_currency": "EUR"}
        merchant = await Api(client).post("/v1/merchants", body)
        key: str = merchant["secret_key"]
        client.headers["authorization"] = f"Bearer {key}"
        shop = Shop(Api(client), invent(customers, months), months)
        bar = Progress(TextColumn("[bold]{task.description}"), BarColumn(None), TimeElapsedColumn())
        with bar:
            last = month_after(OPENING, months)
            task = bar.add_task("The shop opens", total=(last - OPENING).total_seconds())

            def moved(at: datetime) -> None:
                done = (at - OPENING).total_seconds()
                bar.update(task, completed=done, description=f"{at:%B %Y}")

            await shop.open()
            for month in range(months):
                moved(month_after(OPENING, month))
                await shop.live(month, moved)
            await together(shop.sign_up(p) for p in shop.people if p.month == months)
            moved(last)
        return Played(shop, key, await summarize(service, shop))


async def summarize(service: Service, shop: Shop) -> bool:
    """What came of it; whether our books and the gateway's say the same."""
    subscriptions = await shop.by_status("/v1/subscriptions")
    invoices = await shop.by_status("/v1/invoices")
    balance = await shop.api.get("/v1/ledger/trial_balance")
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX) as client:
        auth = {"authorization": f"Bearer {SIMULATOR_KEY}"}
        theirs = (await client.get(f"{service.simulator}/v1/ledger", headers=auth)).json()
    console.print()
    both = Table.grid(padding=(0, 4))
    both.add_row(counted("Subscriptions", subscriptions), counted("Invoices", invoices))
    console.print(both)
    console.print(money(balance["accounts"]))
    console.print(revenue(shop))
    console.print(books(balance))
    table, agree = compared(balance, theirs)
    console.print(table)
    return agree


def counted(title: str, numbers: Mapping[str, int]) -> Table:
    table = Table("", "", title=f"{title}: {sum(numbers.values())}", show_header=False)
    table.columns[1].justify = "right"
    for name, number in sorted(numbers.items(), key=lambda one: -one[1]):
        table.add_row(name, str(number))
    return table


def shown(minor: int) -> str:
    """An amount of a currency with two decimals, from its minor units."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02}"


def totals(accounts: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Per currency: what each kind of account holds, debits less credits."""
    found: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in accounts:
        kind = row["account"].partition(":")[0]
        found[row["currency"]][kind] += row["balance"]
        found[row["currency"]][f"{kind} in"] += row["debits"]
    return {currency: dict(kinds) for currency, kinds in sorted(found.items())}


def money(accounts: list[dict[str, Any]]) -> Table:
    table = Table("", title="Money", title_justify="left")
    by_currency = totals(accounts)
    for currency in by_currency:
        table.add_column(currency, justify="right")
    rows = {
        "Collected, before fees": ("cash in", 1),
        "Refunded": ("refunds", 1),
        "Gateway fees": ("gateway_fees", 1),
        "At the gateway now": ("cash", 1),
        "Outstanding on open invoices": ("receivable", 1),
        "Given up as bad debt": ("bad_debt", 1),
        "Tax to pay on": ("tax_payable", -1),
    }
    for label, (kind, sign) in rows.items():
        amounts = (shown(sign * kinds.get(kind, 0)) for kinds in by_currency.values())
        table.add_row(label, *amounts)
    return table


def revenue(shop: Shop) -> Table:
    currencies = sorted({currency for _, amounts in shop.mrr for currency in amounts})
    title = "Monthly recurring revenue, at list prices"
    table = Table("", title=title, title_justify="left")
    most = max((a for _, amounts in shop.mrr for a in amounts.values()), default=1) or 1
    for currency in currencies:
        table.add_column(currency, justify="right")
        table.add_column("")
    for at, amounts in shop.mrr:
        cells = []
        for currency in currencies:
            amount = amounts.get(currency, 0)
            cells += [shown(amount), f"[cyan]{'█' * (BAR_CHARS * amount // most)}[/]"]
        table.add_row(f"{at:%b %Y}", *cells)
    return table


def books(balance: dict[str, Any]) -> Table:
    """The trial balance: debits and credits are equal, or the books are wrong."""
    table = Table("Trial balance", title="Proof", title_justify="left")
    for heading in ("Debits", "Credits", "Sum"):
        table.add_column(heading, justify="right")
    for currency in sorted({row["currency"] for row in balance["accounts"]}):
        rows = [row for row in balance["accounts"] if row["currency"] == currency]
        debit, credit = sum(row["debits"] for row in rows), sum(row["credits"] for row in rows)
        table.add_row(currency, shown(debit), shown(credit), shown(debit - credit))
    return table


def compared(balance: dict[str, Any], theirs: dict[str, Any]) -> tuple[Table, bool]:
    """What we say was charged and refunded beside what the gateway says; whether it is the same."""
    table = Table("The gateway's own books")
    for heading in ("Ours", "The gateway's", "Difference"):
        table.add_column(heading, justify="right")
    agree = not theirs["duplicates"]
    for currency, ours in totals(balance["accounts"]).items():
        gateway = theirs["totals"].get(currency, {})
        for ending, kind in (("charged", "cash in"), ("refunded", "refunds")):
            mine, its = ours.get(kind, 0), gateway.get(ending, 0)
            table.add_row(f"{currency} {ending}", shown(mine), shown(its), shown(mine - its))
            agree = agree and mine == its
    table.add_row("Charged twice", "", str(len(theirs["duplicates"])), "")
    return table, agree


def audit(service: Service) -> bool:
    """Run `perennial audit` and show its verdict; whether the books are clean."""
    done = subprocess.run(
        serve.perennial("audit", "--json"),
        env=service.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"The audit did not run: {done.stderr}")
    report = json.loads(done.stdout)
    broken = [finding for finding in report["findings"] if finding["exceptions"]]
    if report["clean"]:
        console.print(f"[bold green]Audit: clean. {len(report['findings'])} promises hold.[/]")
    for finding in broken:
        console.print(
            f"[bold red]Audit: {finding['exceptions']} break this: {finding['promise']}[/]"
        )
    return bool(report["clean"])


def invite(service: Service, played: Played) -> None:
    """Where to look around."""
    customer = played.shop.subscribers[0].customer
    auth = f"-H 'Authorization: Bearer {played.key}'"
    console.print(f"\nAPI      {service.url}/v1   reference {service.url}/docs")
    console.print(f"API key  {played.key}\n")
    for path in (
        "/v1/subscriptions?status=past_due&expand=customer",
        f"/v1/invoices?customer_id={customer}&limit=1",
        "/v1/ledger/trial_balance",
    ):
        print(f"curl {auth} '{service.url}{path}'")
    print("\nRunning until Ctrl-C.", flush=True)


def main() -> int:
    """The demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--months", type=int, default=MONTHS)
    parser.add_argument("--any-port", action="store_true", help="not the usual ones, but free ones")
    asked = parser.parse_args()
    # A shell that starts us in the background has us ignore Ctrl-C; here it always means stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="perennial-demo-"))
    began = time.monotonic()
    try:
        with running(root, asked.any_port) as service:
            played = asyncio.run(play(service, asked.customers, asked.months))
            clean = audit(service) and played.agree
            console.print(f"[dim]All of it took {time.monotonic() - began:.0f} seconds.[/]")
            if os.environ.get("PERENNIAL_DEMO_EXIT") == "1":
                return 0 if clean else 1
            invite(service, played)
            signal.pause()
    except KeyboardInterrupt:
        console.print("\nStopping.")
    except (EmbeddedError, RuntimeError, TimeoutError, httpx.HTTPError) as error:
        console.print(repr(error), style="bold red", markup=False)
        console.print(last_words(root / LOG), markup=False)
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
