"""The command that imports subscribers who were billed elsewhere, from a CSV file."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from app.cli.terminal import fail

if TYPE_CHECKING:
    from app.cli.import_file import Mark, Refusals, Rows
    from app.runtime import Runtime
    from app.services.import_rows import Broken, Wanted
    from app.services.imports import Run, Tally

EXIT_REFUSED: Final = 3
"""The import is done, but rows were refused."""

commands = typer.Typer()


class WithColumns(TyperCommand):
    """A command whose help ends with the columns of its file, read only when it is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from app.services.import_rows import COLUMNS

        columns = [f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()]
        columns.append("- `metadata.NAME`: What you keep with the subscription under NAME.")
        self.epilog = "**Columns**\n\n" + "\n".join(columns)
        super().format_help(ctx, formatter)


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for."""

    file: Path
    merchant: str
    test_clock: str | None
    create_plans: bool
    dry_run: bool
    resume: bool

    @property
    def refusals(self) -> Path:
        """Where refused rows are told."""
        return self.file.with_name(f"{self.file.name}.import-errors.csv")

    @property
    def mark(self) -> Path:
        """Where it is noted how far the import came."""
        return self.file.with_name(f"{self.file.name}.import-progress")


@commands.command("import", cls=WithColumns)
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file, UTF-8, its first row naming columns.")],
    merchant: Annotated[str, typer.Option(help="Whose subscribers they become: mer_…")],
    test_clock: Annotated[
        str | None, typer.Option(help="Put them on this test clock: clock_…")
    ] = None,
    create_plans: Annotated[
        bool, typer.Option("--create-plans", help="Make plans that are not there yet.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, and say what would be imported.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted import stopped.")
    ] = False,
) -> None:
    """Import subscribers who were billed elsewhere.

    The whole file is checked first, then imported; a row that is refused is told in
    FILE.import-errors.csv and harms no other. What is there already, by its external id, is never
    changed, so the same file may be imported again at any time.
    """
    from app.cli import session
    from app.cli.import_file import Mark, Refusals, fingerprint, read_mark
    from app.domain.errors import BillingError

    job = Job(file, merchant, test_clock, create_plans, dry_run, resume)
    try:
        whole = fingerprint(file, merchant, test_clock or "", str(create_plans))
        mark = read_mark(job.mark) if resume else None
        if mark is not None and mark.fingerprint != whole:
            fail("The file or the options are not those of the interrupted import.")
        refusals = Refusals(job.refusals, mark.refusals_bytes if mark else 0)
        with closing(refusals):
            refused = session.with_runtime(
                lambda rt: _import(rt, job, refusals, mark or Mark(whole))
            )
    except BillingError as error:
        fail(error.message)
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}")
    except KeyboardInterrupt:
        fail("Stopped. What is imported stays; go on with --resume.")
    raise typer.Exit(EXIT_REFUSED if refused else 0)


async def _import(rt: "Runtime", job: Job, refusals: "Refusals", mark: "Mark") -> int:
    """Check, then import; returns how many rows were refused."""
    from app import ids
    from app.domain.errors import InvalidRequest
    from app.services import imports, merchants
    from app.services.caller import Caller

    try:
        merchant_id = ids.parse("mer", job.merchant)
        clock_id = ids.parse("clock", job.test_clock) if job.test_clock is not None else None
    except ids.InvalidId as error:
        raise InvalidRequest(f"{error} is not an identifier of the expected form.") from None
    merchant = await merchants.get(rt, merchant_id)
    request, live = ids.show("req", ids.new_id()), merchant["mode"] == "live"
    caller = Caller(merchant_id, live, None, frozenset({"*"}), request)
    rows = None
    if not mark.rows:
        only_check = imports.Options(clock_id, job.create_plans, dry_run=True)
        run = await imports.begin(rt, caller, only_check, job.file.name)
        rows, refused = await _check(job, run, refusals if job.dry_run else None)
        if job.dry_run:
            return refused
    options = imports.Options(clock_id, job.create_plans)
    run = await imports.begin(rt, caller, options, job.file.name)
    return await _put_all(job, run, refusals, mark, rows)


async def _check(job: Job, run: "Run", refusals: "Refusals | None") -> tuple[int, int]:
    """Do everything but write, and say what would come of it; the rows, and how many refused."""
    from app.cli.import_file import Rows
    from app.services.imports import Tally

    total, rows, refused = Tally(), 0, 0
    with Rows(job.file) as source, _progress("Checking", job.file.stat().st_size) as show:
        for chunk in _chunks(source):
            tally = await _one_chunk(run, chunk)
            rows += len(chunk)
            refused += len(tally.broken)
            total.add(tally)
            if refusals is not None:
                refusals.write(tally.broken)
            show(source.bytes_read, rows)
    _summary(total, rows, refused)
    if refused and refusals is not None:
        typer.echo(f"Refused rows: {refusals.path}")
    return rows, refused


async def _put_all(
    job: Job, run: "Run", refusals: "Refusals", mark: "Mark", rows: int | None
) -> int:
    """Import every row after the mark, moving it with each chunk; how many rows were refused."""
    from app.cli.import_file import Rows, write_mark

    with Rows(job.file) as source, _progress("Importing", rows) as show:
        for chunk in _chunks(source, skip=mark.rows):
            tally = await _one_chunk(run, chunk)
            mark = replace(
                mark,
                rows=mark.rows + len(chunk),
                imported=mark.imported + tally.imported,
                existing=mark.existing + tally.existing,
                refused=mark.refused + len(tally.broken),
                refusals_bytes=refusals.write(tally.broken),
            )
            write_mark(job.mark, mark)
            show(mark.rows, mark.rows)
    job.mark.unlink(missing_ok=True)
    typer.echo(
        f"Imported {mark.imported:,}; {mark.existing:,} were there already; "
        f"{mark.refused:,} were refused."
    )
    if mark.refused:
        typer.echo(f"Refused rows: {refusals.path}")
    return mark.refused


def _chunks(rows: "Rows", skip: int = 0) -> "Iterator[list[Wanted | Broken]]":
    from app.services.imports import CHUNK

    left: Iterable[Wanted | Broken] = islice(rows, skip, None)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


async def _one_chunk(run: "Run", chunk: "list[Wanted | Broken]") -> "Tally":
    """Import the rows that could be read; the tally has all that were refused, in their order."""
    from app.services import imports
    from app.services.import_rows import Broken

    wanted = [row for row in chunk if not isinstance(row, Broken)]
    tally = await imports.put(run, wanted) if wanted else imports.Tally()
    tally.broken += [row for row in chunk if isinstance(row, Broken)]
    tally.broken.sort(key=lambda row: row.number)
    return tally


def _summary(total: "Tally", rows: int, refused: int) -> None:
    """What an import comes to: counts, and money per period by currency."""
    from app.domain import currency

    typer.echo(
        f"{rows:,} rows: {total.imported:,} new subscriptions, {total.existing:,} there already, "
        f"{refused:,} refused; {total.plans:,} new plans, {total.prices:,} new prices."
    )
    for (code, interval), (amount, count) in sorted(
        total.per_period.items(), key=lambda item: (item[0][0], item[0][1].unit, item[0][1].count)
    ):
        every = f"{interval.count} {interval.unit}s" if interval.count > 1 else interval.unit
        typer.echo(f"  {currency.show(amount)} {code} per {every} from {count:,} subscriptions")


@contextmanager
def _progress(what: str, total: int | None) -> "Iterator[Any]":
    """A bar on stderr; the function it gives is told how much of `total` is done, and the rows."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[speed]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rows=0, speed=0)

        def show(completed: int, rows: int) -> None:
            elapsed = progress.tasks[task].elapsed or 0
            speed = rows / elapsed if elapsed else 0
            progress.update(task, completed=completed, rows=rows, speed=speed)

        yield show
