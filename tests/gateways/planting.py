"""A line to a gateway's double that plants a canary in what it answers, one string or all."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from app.testing.harness import Canned, Harness, Sent
from app.testing.line import HEAD_BYTES_MAX, Line

Spot: TypeAlias = tuple[str, tuple[str, ...]]
"""What was asked for, and the way to one string of its answer; `*` is every element of a list."""
Wanted: TypeAlias = Callable[[Spot], bool]

BOM = "utf-8-sig"
NAMES = re.compile(r"(?<=/)[^/]*\d[^/]*")
PLUMBING = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "vary"})
ASKED_FOR = ("request-id", "retry-after")
"""Headers that a gateway may send at any time, beside those that its double does."""


def kind_of(sent: Sent) -> str:
    """What a request asks for, whatever the names in it."""
    path = NAMES.sub("*", urlsplit(sent.path).path)
    if path.endswith("/request.api"):
        path = next(iter(json.loads(sent.body)))
    return f"{sent.method} {path}"


def spots_of(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each string of a document."""
    match value:
        case dict():
            for name, part in value.items():
                yield from spots_of(part, (*way, name))
        case list():
            for part in value:
                yield from spots_of(part, (*way, "*"))
        case str():
            yield way
        case _:
            pass


def planted(value: Any, canary: str, wanted: Wanted, kind: str, way: tuple[str, ...] = ()) -> Any:
    """The document with the canary in each string that is wanted."""
    match value:
        case dict():
            return {
                name: planted(part, canary, wanted, kind, (*way, name))
                for name, part in value.items()
            }
        case list():
            return [planted(part, canary, wanted, kind, (*way, "*")) for part in value]
        case str():
            return canary if wanted((kind, way)) else value
        case _:
            return value


class PlantedLine(Line):
    """Passes on what is sent; while it is sown, answers come back with a canary in them."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(harness)
        self.spots: set[Spot] = set()
        """All that could be planted in, of what was answered while somebody listened."""
        self._listens = False
        self._canary = ""
        self._wanted: Wanted = lambda _: False

    @contextmanager
    def sown(self, canary: str = "", wanted: Wanted = lambda _: False) -> Iterator[None]:
        """Within the block answers hold the canary wherever it is wanted."""
        self._listens, self._canary, self._wanted = True, canary, wanted
        try:
            yield
        finally:
            self._listens, self._wanted = False, lambda _: False

    async def _pass_on(self, sent: Sent) -> Canned:
        answer = await super()._pass_on(sent)
        if not self._listens:
            return answer
        kind = kind_of(sent)
        headers = self._headers(kind, answer.headers)
        try:
            document = json.loads(answer.body.decode(BOM))
        except ValueError:
            return Canned(answer.status, answer.body, headers)
        self.spots |= {(kind, way) for way in spots_of(document)}
        sown = json.dumps(planted(document, self._canary, self._wanted, kind))
        return Canned(answer.status, sown.encode(), headers)

    def _headers(self, kind: str, given: Mapping[str, str]) -> dict[str, str]:
        spots = {(kind, ("headers", name)) for name in (*given, *ASKED_FOR) if name not in PLUMBING}
        self.spots |= spots
        there = {way[1] for _, way in filter(self._wanted, spots)}
        return {**given, **dict.fromkeys(there, self._canary)}


@asynccontextmanager
async def planting(harness: Harness) -> AsyncIterator[PlantedLine]:
    """A line to the harness's double, for as long as the block lasts."""
    line = PlantedLine(harness)
    server = await asyncio.start_server(line.talk, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    line.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
