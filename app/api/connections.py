"""Connections, before there is a request: what a stranger may send, and how long they may take.

Uvicorn's faster protocol bounds neither: it would collect a header without end, copying all of it
with each further packet, and wait for the rest of a request for ever.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_BYTES_MAX: Final = 65_536
"""Of an address with its headers, or of what follows a body: more than any client of ours sends.
What comes in one piece with the end of it passes; the system brings 256 KiB at once at the most.
"""
REQUEST_SECONDS_MAX: Final = 60.0
"""From its first byte to its last, or from the connection to the first: a body of the largest size
comes through a slow line by then.
"""
TOO_LARGE: Final = b"431 Request Header Fields Too Large"
TOO_SLOW: Final = b"408 Request Timeout"


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which ends a connection that sends too much of a head, or too slowly."""

    head_bytes_max: int = HEAD_BYTES_MAX
    request_seconds_max: float = REQUEST_SECONDS_MAX
    _head_bytes: int = 0
    """What came since anything else than headers did."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, though not for ever."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless there is no end to it."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > self.head_bytes_max:
            self._refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins: it is to be over in time."""
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        """The head is read."""
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body: whoever reads it bounds it."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here as a whole."""
        self._head_bytes = 0
        self._expect_nothing()
        super().on_message_complete()

    def _expect(self) -> None:
        self._expect_nothing()
        self._late = self.loop.call_later(self.request_seconds_max, self._refuse, TOO_SLOW)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    @property
    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _refuse(self, status: bytes) -> None:
        """End the connection, and say why where nothing is being answered."""
        if self.transport.is_closing():
            return
        if self._is_idle:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        self.transport.close()
