"""After writes the workers are woken, to tell of them: behind the callers' backs."""

import asyncio
from typing import Final

from app.runtime import Runtime

JOB: Final = "number_events"
APART_SECONDS: Final = 0.2
"""Rings of one process are this far apart: however much is written, the queue is asked little."""


class Nudge:
    """Rings soon after a write, once for all writes of a moment; never raises, never waits."""

    def __init__(self) -> None:
        self._due: asyncio.TimerHandle | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def after_write(self, rt: Runtime) -> None:
        """Something may have happened that is to be told."""
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(APART_SECONDS, self._ring, rt)

    def _ring(self, rt: Runtime) -> None:
        self._due = None
        ringing = asyncio.ensure_future(rt.bell.ring(JOB))
        self._ringing.add(ringing)
        ringing.add_done_callback(self._ringing.discard)
