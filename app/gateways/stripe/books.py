"""Stripe's own books, for reconciliation: charges, refunds and disputes of a window of time."""

from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Final, TypeVar

from app.domain.dispute import DisputeReport
from app.gateways.base import ListingFailed
from app.gateways.reports import GatewayTransaction
from app.gateways.requests import TimeWindow
from app.gateways.stripe.amounts import UnreadableAmount
from app.gateways.stripe.reading import charge_in_books, dispute_report, refund_in_books
from app.gateways.stripe.wire import Field, PageT, Refusal, Wire
from app.gateways.stripe.words import (
    BareIntent,
    Charge,
    ChargePage,
    Dispute,
    DisputePage,
    EventPage,
    Listed,
    RefundPage,
)

Read = TypeVar("Read")
ListedT = TypeVar("ListedT", bound=Listed)

PAGES_MAX: Final = 10_000
"""A million objects: whoever has more in one window asks for a shorter one."""
EXPANDED_CHARGES: Final = ("data.balance_transaction", "data.payment_intent")
EXPANDED_REFUNDS: Final = ("data.balance_transaction",)


async def list_transactions(wire: Wire, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
    """Every charge and refund made in the window, each once. Raises ListingFailed.

    Of a payment that was tried several times only the last try is its charge.
    """
    query: dict[str, Field] = {"created": _created(window), "expand": EXPANDED_CHARGES}
    async for charges in _whole(wire, ChargePage, "/v1/charges", query):
        for charge in charges.data:
            if not _is_superseded(charge):
                yield _readable(charge, charge_in_books)
    query = {"created": _created(window), "expand": EXPANDED_REFUNDS}
    async for refunds in _whole(wire, RefundPage, "/v1/refunds", query):
        for refund in refunds.data:
            yield _readable(refund, refund_in_books)


async def list_disputes(wire: Wire, window: TimeWindow) -> AsyncIterator[DisputeReport]:
    """Every dispute opened or changed in the window, as it stands now. Raises ListingFailed.

    What changed is known from Stripe's events, which it keeps for 30 days.
    """
    seen: set[str] = set()
    query: dict[str, Field] = {"created": _created(window)}
    async for page in _whole(wire, DisputePage, "/v1/disputes", query):
        for dispute in page.data:
            seen.add(dispute.id)
            yield _readable(dispute, dispute_report)
    changed: dict[str, Field] = {**query, "type": "charge.dispute.*"}
    async for events in _whole(wire, EventPage, "/v1/events", changed):
        for event in events.data:
            name = event.data.object.name("id")
            if name is None or name in seen:
                continue
            seen.add(name)
            said = await wire.get(Dispute, f"/v1/disputes/{name}")
            if not isinstance(said, Dispute):
                raise ListingFailed("A dispute that Stripe tells of cannot be read.")
            yield _readable(said, dispute_report)


async def _whole(
    wire: Wire, model: type[PageT], path: str, query: dict[str, Field]
) -> AsyncIterator[PageT]:
    """Every page; nothing may be concluded from a part of them. Raises ListingFailed."""
    page: PageT | None = None
    async for said in wire.pages(model, path, query, PAGES_MAX):
        if not isinstance(said, model):
            cause = said.error.code if isinstance(said, Refusal) else getattr(said, "cause", None)
            raise ListingFailed(f"Stripe's list breaks off: {cause}.")
        page = said
        yield page
    if page is None or page.has_more:
        raise ListingFailed("Stripe's list is too long to be read to its end.")


def _readable(one: ListedT, reading: Callable[[ListedT], Read]) -> Read:
    try:
        return reading(one)
    except UnreadableAmount as error:
        raise ListingFailed(f"{one.id}: {error}.") from None


def _created(window: TimeWindow) -> dict[str, Field]:
    """Stripe counts whole seconds: what was made in one is at its beginning."""
    return {"gte": ceil(window.start.timestamp()), "lt": ceil(window.end.timestamp())}


def _is_superseded(charge: Charge) -> bool:
    intent = charge.payment_intent
    is_last = not isinstance(intent, BareIntent) or intent.latest_charge == charge.id
    return charge.status == "failed" and not is_last
