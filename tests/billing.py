"""What stories about invoices beyond the clock need: a world that credits, bills by hand, notes."""

from typing import Any
from uuid import UUID

from app.domain.issuing import Wanted, WantedLine
from app.services import credit_notes, one_offs, pending_items
from app.services.one_offs import CreateInvoice
from app.services.pending_items import CreateItem, NewItem
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


async def item(world: World, customer: UUID, amount: int | None = None, **options: Any) -> UUID:
    """Something that waits to be billed; on a draft with `invoice_id`."""
    whose = {k: options.pop(k) for k in ("subscription_id", "invoice_id") if k in options}
    options.setdefault("description", "Work")
    cmd = CreateItem(
        customer_id=customer,
        item=NewItem(amount=amount, **options),
        currency=None if whose or "price_id" in options else "EUR",
        **whose,
    )
    return await pending_items.create(world.rt, world.caller, cmd)


async def bill(world: World, customer: UUID, *amounts: int, **options: Any) -> Any:
    """An invoice made by hand of these amounts, and of what waits."""
    items = [NewItem(amount=amount, description="Work") for amount in amounts]
    items += options.pop("items", [])
    cmd = CreateInvoice(
        customer_id=customer, currency=options.pop("currency", "EUR"), items=items, **options
    )
    return await made(world, await one_offs.create(world.rt, world.caller, cmd))


async def made(world: World, invoice: UUID) -> Any:
    """An invoice's row."""
    [row] = await world.fetch("SELECT * FROM invoices WHERE id = $1", invoice)
    return row


async def waiting(world: World) -> list[int]:
    """The amounts that wait to be billed, oldest first."""
    rows = await world.fetch(
        "SELECT amount FROM pending_items WHERE invoice_id IS NULL AND deleted_at IS NULL "
        "ORDER BY id"
    )
    return [row["amount"] for row in rows]
