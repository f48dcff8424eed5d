"""What a preview says and what then comes, in the same words, to be held against each other."""

from typing import Any
from uuid import UUID

from app.api.previews import Names, invoice_shown
from app.db import invoices, shops
from app.domain.invoice import Invoice
from app.domain.shop import Shop
from app.services import previews
from app.services.changes import ChangeSubscription
from app.services.enrolment import CreateSubscription
from app.services.previews import Previewed, PreviewInvoices
from app.services.subscriptions import Cancel
from tests.world import World

Shown = dict[str, Any]


async def preview(world: World, **asked: Any) -> Previewed:
    return await previews.invoices(world.rt, world.caller, PreviewInvoices(**asked))


async def of_create(world: World, customer: UUID, *prices: Any, **options: Any) -> Previewed:
    items = [p if isinstance(p, tuple) else (p, 1) for p in prices]
    cmd = CreateSubscription(customer_id=customer, items=items, **options)
    return await preview(world, create=cmd)


async def of_change(world: World, sub: UUID, *items: Any, **options: Any) -> Previewed:
    at = options.pop("preview_at", None)
    cmd = ChangeSubscription(sub, items, **options)
    return await preview(world, subscription_id=sub, change=cmd, at=at)


async def of_cancel(world: World, sub: UUID, **options: Any) -> Previewed:
    return await preview(world, subscription_id=sub, cancel=Cancel(sub, **options))


def told(found: Previewed) -> list[Shown]:
    """The invoices that a preview says come now."""
    return [
        _sorted(invoice_shown(i, Names(found.coupons, found.invented)))
        for i in found.preview.invoices
    ]


def told_next(found: Previewed) -> Shown | None:
    following = found.preview.next
    return (
        None
        if following is None
        else _sorted(invoice_shown(following, Names(found.coupons, found.invented)))
    )


def shown_of(invoice: Invoice, shop: Shop) -> Shown:
    """An invoice that was made in memory."""
    known = {d.id: d.coupon.id for sub in shop.subscriptions.values() for d in sub.discounts}
    return _sorted(invoice_shown(invoice, Names(known, shop.made)))


async def came(world: World, sub: UUID, *, after: int = 0) -> list[Shown]:
    """The invoices that a subscription really has, but for the first `after`."""
    async with world.rt.db.look(world.caller.merchant_id) as tx:
        rows = await tx.fetch(
            f"SELECT {invoices.COLUMNS} FROM invoices i WHERE i.subscription_id = $1 ORDER BY i.id",
            sub,
        )
        keys = [(row["merchant_id"], row["id"]) for row in rows]
        lines = await invoices.load_lines(tx, keys)
        real: list[Invoice] = [
            invoices.invoice(row, lines[key]) for row, key in zip(rows, keys, strict=True)
        ]
        parts = {p.discount_id for i in real for line in i.lines for p in line.discounts}
        coupons = await shops.coupons_of(tx, parts)
    return [_sorted(invoice_shown(invoice, Names(coupons))) for invoice in real[after:]]


def _sorted(shown: Shown) -> Shown:
    for line in shown["lines"]:
        line["discounts"].sort(key=str)
        line["taxes"].sort(key=str)
    return shown
