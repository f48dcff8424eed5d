"""The commands about the clock: how the work stands, and one sweep by hand."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from app.services.status import Listed, Status

commands = typer.Typer()
clock = typer.Typer(help="How the work stands, and one sweep by hand.", no_args_is_help=True)
commands.add_typer(clock, name="clock")

Json = Annotated[bool, typer.Option("--json", help="For programs to read.")]


@clock.command()
def status(
    merchant: Annotated[
        str | None, typer.Option(help="Only this merchant (mer_…); absent: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is due, overdue, in flight, parked, or waiting for a person."""
    from app.cli import session
    from app.services import status as standing

    chosen = session.merchant(merchant)
    found = session.with_runtime(lambda rt: standing.look(rt, chosen))
    if as_json:
        _print_json(asdict(found))
        return
    from rich.console import Console

    console = Console()
    for part in tables(found):
        console.print(part)


@clock.command()
def run(as_json: Json = False) -> None:
    """Run one sweep: do everything that is due now, as the workers would."""
    from app.cli import session
    from app.services import status as standing

    did = session.with_runtime(standing.sweep)
    if as_json:
        _print_json(asdict(did))
        return
    typer.echo(
        f"{did.steps} steps, {did.invoices} invoices, {did.finalized} drafts final, "
        f"{did.parked} parked; "
        f"{did.succeeded} of {did.attempts} attempts succeeded; {did.looked_up} looked up; "
        f"{did.clocks} test clocks arrived."
    )


def tables(found: "Status") -> "Iterator[Table | str]":
    """The status as a person reads it: what is quiet takes a line, what is not a table."""
    from rich.table import Table

    due = Table(title=f"Due at {found.at:%Y-%m-%d %H:%M:%S} UTC")
    for heading in ("Queue", "Due", "Overdue", "Oldest"):
        due.add_column(heading, justify="left" if heading in ("Queue", "Oldest") else "right")
    for queue in found.queues:
        oldest = "" if queue.oldest is None else f"{queue.oldest:%Y-%m-%d %H:%M:%S}"
        style = "red" if queue.overdue else None
        due.add_row(queue.name, str(queue.due), str(queue.overdue), oldest, style=style)
    yield due
    flying = ", ".join(f"{kind}s {status} {n}" for kind, status, n in found.in_flight)
    yield f"In flight: {flying or 'nothing'}."
    yield _named("Parked", found.parked)
    yield _named("Awaiting review", found.awaiting_review)
    yield _named("Test clocks on their way", found.clocks)


def _named(title: str, listed: "Listed") -> "Table | str":
    from rich.table import Table
    from rich.text import Text

    if not listed.count:
        return f"{title}: nothing."
    more = listed.count - len(listed.first)
    shown = Table(title=f"{title}: {listed.count}" + (f", {more} not shown" if more else ""))
    for heading in ("Id", "Since", "Why"):
        shown.add_column(heading, overflow="fold")
    for one in listed.first:
        shown.add_row(one.id, f"{one.since:%Y-%m-%d %H:%M:%S}", Text(one.reason))
    return shown


def _print_json(content: object) -> None:
    import orjson

    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
