"""How decisions get identifiers: they are handed a source of them, as they are handed the time."""

from collections.abc import Callable
from typing import TypeAlias
from uuid import UUID

NewId: TypeAlias = Callable[[], UUID]
