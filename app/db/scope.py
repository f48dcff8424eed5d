"""Whose time is moving when due rows are claimed."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """The wall clock's rows (the default), or those of one merchant's test clock."""

    merchant_id: UUID | None = None
    test_clock_id: UUID | None = None
