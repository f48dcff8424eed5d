"""How measurements are told: a line for whoever greps, and a table in docs/performance.md."""

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def tell(name: str, value: float | str) -> None:
    """One result: `bench.renewals.ratio=41.3`."""
    print(f"bench.{name}={shown(value)}", flush=True)


def shown(value: float | str) -> str:
    """Whole numbers from a hundred up, three digits below."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}".replace(",", "") if abs(value) >= 100 else f"{value:.3g}"


def table(heads: list[str], rows: list[list[float | str]]) -> str:
    """Markdown, numbers with thousands apart."""
    lines = [heads, ["---"] * len(heads)]
    lines += [[_cell(value) for value in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | str) -> str:
    return f"{value:,.0f}" if isinstance(value, float) and abs(value) >= 1000 else shown(value)


def publish(section: str, text: str) -> None:
    """Replace what stands between the section's markers in docs/performance.md."""
    start, end = f"<!-- {section}: written by make bench -->", f"<!-- /{section} -->"
    page = PAGE.read_text()
    assert start in page, f"{PAGE} has no place for {section}"
    body = f"{start}\n{text.strip()}\n{end}"
    PAGE.write_text(
        re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: body, page, flags=re.DOTALL)
    )
