"""What merchants hang on their objects: a few keys with short texts, changed key by key."""

from collections.abc import Mapping
from typing import Final

from app.domain.errors import InvalidRequest

METADATA_KEYS_MAX: Final = 50


def merged(kept: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Metadata after `changes`: each key set anew, or taken out where it is None."""
    both = {**kept, **changes}
    result = {key: value for key, value in both.items() if value is not None}
    if len(result) > METADATA_KEYS_MAX:
        raise InvalidRequest(f"Metadata holds at most {METADATA_KEYS_MAX} keys.", param="metadata")
    return result
