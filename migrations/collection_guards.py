"""What tables alone cannot say in revision 0003, collection: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = ()
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = ()
"""Tables from which rows may be deleted from this revision on."""

UPGRADE: Final[tuple[str, ...]] = ()
"""Functions and triggers, once the tables are as the revision wants them."""

DOWNGRADE: Final[tuple[str, ...]] = ()
"""What takes `UPGRADE` back, once the tables are as they were before. CREATE OR REPLACE restores a
changed function; the triggers of dropped tables are gone by then.
"""


def upgrade(tables: Sequence[str]) -> Iterator[str]:
    """The statements to run once `tables`, the new ones, exist and the others are changed."""
    yield from guards.protect(tables, append_only=APPEND_ONLY, deletable=DELETABLE)
    yield from UPGRADE


def downgrade() -> Iterator[str]:
    """The statements to run once the tables are as they were."""
    yield from DOWNGRADE
