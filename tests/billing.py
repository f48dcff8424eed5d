"""What stories about invoices beyond the clock need: a world that credits, bills by hand, notes."""

from typing import Any
from uuid import UUID

from app.domain.issuing import Wanted, WantedLine
from app.services import credit_notes
from tests.world import World


async def credit(world: World, invoice: UUID, *lines: WantedLine, **options: Any) -> Any:
    """A credit note on an invoice, as its row."""
    wanted = Wanted(lines=lines, **options)
    made = await credit_notes.create(world.rt, world.caller, invoice, wanted)
    [row] = await world.fetch("SELECT * FROM credit_notes WHERE id = $1", made)
    return row


async def note_lines(world: World, note: UUID) -> list[tuple[int, int, int]]:
    """A credit note's lines: amount, discount, tax."""
    rows = await world.fetch(
        "SELECT * FROM credit_note_lines WHERE credit_note_id = $1 ORDER BY position", note
    )
    return [(row["amount"], row["discount_amount"], row["tax_amount"]) for row in rows]


def where(note: Any) -> tuple[int, int, int, int]:
    """Where a credit note went: to the invoice, the balance, refunds, and outside."""
    return note["to_invoice"], note["to_balance"], note["to_refund"], note["outside"]
