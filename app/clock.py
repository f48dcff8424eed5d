"""The only place that reads the wall clock. Everything else is told what time it is."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, in UTC, with a time zone."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when it is told to: for tests, test clocks and simulations."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> datetime:
        assert by >= timedelta(0), "time does not run backwards"
        self.at += by
        return self.at

    def set(self, at: datetime) -> datetime:
        assert at >= self.at, "time does not run backwards"
        self.at = at
        return at
