"""`perennial import` as a process of its own: dry runs, refused rows, repetition, SIGKILL."""

import csv
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app import ids
from tests.world import World, open_world

ROOT = Path(__file__).parents[2]
HEADER = "customer_external_id,subscription_external_id,plan,unit_amount,currency,started_at,name"
KILL_SECONDS_MAX = 60


@pytest.fixture
async def world(clean_database: str) -> AsyncIterator[World]:
    async with open_world(clean_database) as opened:
        yield opened


@dataclass
class Command:
    """The command line, on this worker's database."""

    folder: Path
    database_url: str
    merchant: str

    def line(self, *options: str) -> tuple[list[str], dict[str, str]]:
        words = [sys.executable, "-m", "app.cli", "import", str(self.file), "--create-plans"]
        environment = os.environ | {"DATABASE_URL": self.database_url, "COLUMNS": "200"}
        return [*words, "--merchant", self.merchant, *options], environment

    def run(self, *options: str, code: int = 0) -> str:
        command, environment = self.line(*options)
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self) -> subprocess.Popen[bytes]:
        command, environment = self.line()
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=quiet, stderr=quiet)

    @property
    def file(self) -> Path:
        return self.folder / "subscribers.csv"

    @property
    def mark(self) -> Path:
        return self.folder / "subscribers.csv.import-progress"

    def refused(self) -> list[list[str]]:
        with (self.folder / "subscribers.csv.import-errors.csv").open(newline="") as file:
            return list(csv.reader(file))[1:]

    def write(self, lines: Sequence[str], header: str = HEADER) -> None:
        self.file.write_text("\n".join([header, *lines]) + "\n")


@pytest.fixture
def command(world: World, clean_database: str, tmp_path: Path) -> Iterator[Command]:
    return Command(tmp_path, clean_database, ids.show("mer", world.caller.merchant_id))


def good(n: int) -> str:
    return f"c{n},s{n},pro,10.00,EUR,2025-06-{n % 28 + 1:02d}T00:00:00Z,Number {n}"


async def count(world: World, table: str = "subscriptions") -> int:
    [row] = await world.fetch(f"SELECT count(*) AS n FROM {table}")
    return row["n"]


async def test_a_dry_run_tells_what_it_would_come_to(world: World, command: Command):
    command.write([good(n) for n in range(3)])
    said = command.run("--dry-run")
    assert "3 rows: 3 new subscriptions, 0 there already, 0 refused; 1 new plans, 1 new" in said
    assert "30.00 EUR per month from 3 subscriptions" in said
    assert await count(world) == 0


async def test_refused_rows_are_told_in_a_file_that_no_spreadsheet_runs(
    world: World, command: Command
):
    command.write(
        [
            good(0),
            "c1,s1,=cmd(),10.00,EUR,2025-06-01,x",
            '"broken"quote,s2,pro,10.00,EUR,2025-06-01,x',
            "c3,s3,pro,10.00,EUR,2025-06-01",
            "c4,s4,pro,10.00,EUR,2025-06-01,4111111111111111",
            f"c5,s5,pro,10.00,EUR,2025-06-01,{'x' * 70_000}",
            good(6),
        ]
    )
    with command.file.open("ab") as file:
        file.write(b"c7,s7,pro,10.00,EUR,2025-06-01,caf\xe9\n")
    said = command.run(code=3)
    assert "Imported 2; 0 were there already; 6 were refused." in said
    assert [line[:3] for line in command.refused()] == [
        ["3", "plan", "invalid_value"],
        ["4", "", "not_csv"],
        ["5", "", "wrong_number_of_cells"],
        ["6", "name", "card_number"],
        ["7", "", "line_too_long"],
        ["9", "name", "not_utf8"],
    ]
    assert not any(cell.startswith(("=", "+", "-", "@")) for r in command.refused() for cell in r)
    assert await count(world) == 2


async def test_the_same_file_again_imports_nothing_twice(world: World, command: Command):
    command.write([good(n) for n in range(20)])
    command.run()
    events = await count(world, "events")
    said = command.run()
    assert "Imported 0; 20 were there already; 0 were refused." in said
    assert await count(world) == 20
    assert await count(world, "events") == events


async def test_a_byte_order_mark_and_windows_line_ends_are_read(world: World, command: Command):
    command.file.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{good(1)}\r\n\r\n".encode())
    assert "Imported 1;" in command.run()


@pytest.mark.parametrize(
    ("header", "said"),
    [("", "must name"), ("a,b", "columns that there are not"), ('"', "not CSV")],
)
def test_a_file_that_cannot_be_right_is_refused(command: Command, header: str, said: str):
    command.write([good(1)], header)
    assert said in command.run(code=1)


def test_an_unknown_merchant_and_a_missing_file_are_said_plainly(command: Command):
    command.write([good(1)])
    command.merchant = ids.show("mer", ids.new_id())
    assert "There is no such merchant." in command.run(code=1)
    command.file.unlink()
    assert "No such file" in command.run(code=1)


async def test_killed_in_the_middle_it_goes_on_where_it_stopped(
    world: World, command: Command, clean_database: str
):
    rows = 6_000
    lines = [good(n) for n in range(rows)]
    for n in range(10, rows, 1_000):  # one bad row in each thousand
        lines[n] = f"c{n},s{n},pro,ten,EUR,2025-06-01,x"
    command.write(lines)
    process = command.start()
    watch = await asyncpg.connect(clean_database)
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while await watch.fetchval("SELECT count(*) FROM subscriptions") < 500:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it should be killed before it is done"
    process.kill()
    process.wait()
    # A chunk under way is committed or not, as a whole.
    done = await watch.fetchval("SELECT count(*) FROM subscriptions")
    await watch.close()
    assert 0 < done < rows - 6
    command.run("--resume", code=3)
    assert await count(world) == rows - 6
    assert await count(world, "customers") == rows - 6
    assert [int(line[0]) for line in command.refused()] == [12 + n for n in range(0, rows, 1_000)]
    assert not command.mark.exists()


def test_another_file_is_not_resumed(command: Command):
    command.write([good(1)])
    command.mark.write_text('{"fingerprint": "another", "rows": 1}')
    assert "not those of the interrupted import" in command.run("--resume", code=1)
