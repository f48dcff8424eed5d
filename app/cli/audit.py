"""The command that proves the books: every promise they hold, checked now."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from app.services.audit import Report

commands = typer.Typer()


@commands.command()
def audit(
    merchant: Annotated[
        str | None, typer.Option(help="Only this merchant (mer_…); absent: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs to read.")] = False,
) -> None:
    """Check every promise of the books, and name what breaks one.

    Exit code 0 when the books are clean, 1 when they are not.
    """
    from app.cli import session
    from app.services import audit as auditing

    chosen = session.merchant(merchant)
    report = session.with_runtime(lambda rt: auditing.run(rt, chosen))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(document(report), option=orjson.OPT_INDENT_2).decode())
    else:
        from rich.console import Console

        Console().print(table(report))
    if not report.is_clean:
        raise typer.Exit(1)


def document(report: "Report") -> dict[str, Any]:
    """The report for programs: `samples` name the merchant and the thing."""
    from app import ids

    findings = [
        {
            "name": finding.name,
            "promise": finding.promise,
            "exceptions": finding.exceptions,
            "samples": [
                {"merchant_id": ids.show("mer", merchant), "what": what}
                for merchant, what in finding.samples
            ],
        }
        for finding in report.findings
    ]
    return {"clean": report.is_clean, "findings": findings}


def table(report: "Report") -> "Table":
    """The promises, how many things break each, and the first few of those."""
    from rich.table import Table
    from rich.text import Text

    from app import ids

    broken = sum(1 for finding in report.findings if finding.exceptions)
    found = Table(
        title="Clean: every promise holds." if not broken else f"{broken} promises are broken.",
        title_style="bold green" if not broken else "bold red",
    )
    found.add_column("Promise")
    found.add_column("Exceptions", justify="right")
    if broken:
        found.add_column("The first few", overflow="fold")
    for finding in report.findings:
        row = [Text(finding.promise), Text(str(finding.exceptions))]
        if broken:
            named = (f"{ids.show('mer', mer)} {what}" for mer, what in finding.samples)
            row.append(Text("\n".join(named)))
        found.add_row(*row, style="red" if finding.exceptions else None)
    return found
