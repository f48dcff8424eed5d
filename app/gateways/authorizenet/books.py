"""Authorize.net's own books: one transaction, and the lists of them.

A transaction is in the unsettled list until its batch is settled, then in that batch's list, and
all along in its customer's list. So whoever reads the unsettled list first and the batches
afterwards misses nothing: what moves in between is met twice, never not at all.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from app.domain.outcome import NotExecuted, Unknown
from app.gateways.authorizenet import words
from app.gateways.authorizenet.answers import Batch, Details, Summary, Unreadable, read
from app.gateways.authorizenet.api import Api, Reply

PAGE: Final = 1_000
"""The most that the gateway gives at once."""
PAGES_MAX: Final = 1_000
"""A million transactions: beyond, a look-up is not concluded."""
SLICE: Final = timedelta(days=30)
"""Batches may be asked for 31 days at once."""
LATE: Final = timedelta(days=31)
"""A hold may be captured, and a review decided, 30 days after it was made: so long after that may
the batch be that it settles with."""
SKEW: Final = timedelta(days=1)
"""How far the gateway's clock and ours may be apart, generously."""


Listed = TypeVar("Listed", Summary, Batch)


class BooksUnread(Exception):
    """The books could not be read to the end; nothing may be concluded from what was read."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Span:
    """Settlement times from `first` to `last`, both included."""

    first: datetime
    last: datetime

    def slices(self) -> list["Span"]:
        """The same in parts that the gateway takes."""
        parts, start = [], self.first
        while start < self.last:
            end = min(start + SLICE, self.last)
            parts.append(Span(start, end))
            start = end
        return parts


class Books:
    """Reads the books of one account. Every method raises BooksUnread."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.now: datetime | None = None
        """The gateway's time when it last answered."""

    async def details(self, reference: str) -> Details | None:
        """One transaction as it stands now; None if there is none of this name."""
        if not reference.isdecimal():
            return None
        reply = await self._ask("getTransactionDetailsRequest", {"transId": reference})
        if reply is None:
            return None
        try:
            return read(Details, reply.whole.get("transaction"))
        except Unreadable:
            raise BooksUnread("unreadable_answer") from None

    def of_customer(self, customer: str) -> AsyncIterator[Summary]:
        """The transactions of one customer in the vault, settled or not."""
        name = "getTransactionListForCustomerRequest"
        return self._pages(name, {"customerProfileId": customer})

    def unsettled(self) -> AsyncIterator[Summary]:
        """Whatever is not settled yet, declined and voided transactions too."""
        return self._pages("getUnsettledTransactionListRequest", {})

    async def settled(self, span: Span) -> AsyncIterator[Summary]:
        """Whatever was in the batches settled within `span`."""
        async for batch in self.batches(span):
            async for summary in self.of_batch(batch):
                yield summary

    def of_batch(self, batch: Batch) -> AsyncIterator[Summary]:
        """The transactions of one batch."""
        return self._pages("getTransactionListRequest", {"batchId": batch.id})

    async def batches(self, span: Span, *, statistics: bool = False) -> AsyncIterator[Batch]:
        """The batches settled within `span`, each once."""
        seen = set()
        for part in span.slices():
            asked = {
                "includeStatistics": statistics,
                "firstSettlementDate": written(part.first),
                "lastSettlementDate": written(part.last),
            }
            reply = await self._ask("getSettledBatchListRequest", asked)
            for batch in parts_of(reply, "batchList", Batch):
                if batch.id not in seen:
                    seen.add(batch.id)
                    yield batch

    async def _pages(self, name: str, fields: dict[str, Any]) -> AsyncIterator[Summary]:
        """Every entry of a list, each once, the oldest first: so that new ones come at the end."""
        seen: set[str] = set()
        for page in range(1, PAGES_MAX + 1):
            sorting = {"orderBy": "id", "orderDescending": False}
            paging = {"limit": PAGE, "offset": page}
            reply = await self._ask(name, {**fields, "sorting": sorting, "paging": paging})
            entries = parts_of(reply, "transactions", Summary)
            for entry in entries:
                if entry.id not in seen:
                    seen.add(entry.id)
                    yield entry
            if len(entries) < PAGE:
                whole = reply.whole.get("totalNumInResultSet") if reply is not None else None
                if isinstance(whole, int) and whole > len(seen):
                    raise BooksUnread("list_incomplete")
                return
        raise BooksUnread("list_too_long")

    async def _ask(self, name: str, fields: dict[str, Any]) -> Reply | None:
        """A question; None when the gateway has no such record."""
        match await self._api.call(name, fields):
            case NotExecuted(cause) | Unknown(cause):
                raise BooksUnread(cause)
            case Reply() as reply:
                self.now = reply.said_at or self.now
                if reply.is_ok:
                    return reply
                if reply.code == words.RECORD_NOT_FOUND:
                    return None
                raise BooksUnread(reply.code or "unreadable_answer")


def parts_of(reply: Reply | None, key: str, model: type[Listed]) -> list[Listed]:
    """The entries of a list; none when the key is missing, which is how "no records" is said."""
    listed = reply.whole.get(key) if reply is not None else None
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise BooksUnread("unreadable_answer")
    try:
        return [read(model, entry) for entry in listed]
    except Unreadable:
        raise BooksUnread("unreadable_answer") from None


def written(moment: datetime) -> str:
    """A moment as the gateway takes it: UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
