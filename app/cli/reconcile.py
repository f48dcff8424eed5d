"""The command that compares our books with the gateways' own."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from app.runtime import Runtime

commands = typer.Typer()


@commands.command()
def reconcile(
    merchant: Annotated[
        str | None, typer.Option(help="Only this merchant (mer_…); absent: all.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="From this day on (UTC); absent: two days back.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="Before this day; absent: now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs to read.")] = False,
) -> None:
    """Compare our books with those of every open gateway account, and name what differs.

    Exit code 0 when both say the same, 1 when something is open, 2 when an account could not be
    compared.
    """
    from app.cli import session
    from app.services import reconciliation

    chosen = session.merchant(merchant)

    async def work(rt: "Runtime") -> "reconciliation.Report":
        return await reconciliation.compare_all(rt, chosen, _utc(start), _utc(end), typer.echo)

    report = session.with_runtime(work)
    if as_json:
        import orjson

        typer.echo(orjson.dumps(report.shown(), option=orjson.OPT_INDENT_2).decode())
    else:
        from rich.console import Console

        Console().print(table(report.open))
    if report.failed:
        raise typer.Exit(2)
    if report.open:
        raise typer.Exit(1)


def _utc(at: datetime | None) -> datetime | None:
    from datetime import UTC

    return None if at is None else at.replace(tzinfo=UTC)


def table(found: "list[dict[str, Any]]") -> "Table":
    """What is open, one row each."""
    from rich.table import Table

    title = f"{len(found)} differences are open." if found else "Both books say the same."
    shown = Table(title=title, title_style="bold red" if found else "bold green")
    for head in ("Difference", "Kind", "Here", "There", "", "Gateway's reference", "Repair"):
        shown.add_column(head, overflow="fold")
    for one in found:
        amounts = [str(one[side]) if one[side] is not None else "-" for side in SIDES]
        repairs = ", ".join(one["repairs"]) or "at the gateway"
        reference = one["gateway_reference"] or ""
        shown.add_row(one["id"], one["kind"], *amounts, one["currency"], reference, repairs)
    return shown


SIDES = ("amount_here", "amount_there")
