"""Tokens of offers: of links, kept as hashes only; and of claims, which are not kept at all.

A claim says "whoever holds this held the link before that moment". It is signed with the hash of
the link's token, so it can be checked from the link's row, and dies with the link.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

LINK_PREFIX: Final = "ol_"
CLAIM_PREFIX: Final = "oc_"
CLAIM_LIFE: Final = timedelta(hours=1)
"""From the click to the subscription: a checkout takes minutes."""
TOKEN_CHARS_MAX: Final = 128
ID_BYTES: Final = 16
TIME_BYTES: Final = 8
MAC_BYTES: Final = 32


class ClaimToken(NamedTuple):
    """What a claim's token says; only true once `is_signed` has said so."""

    link_id: UUID
    expires_at: datetime
    mac: bytes


def digest(token: str) -> bytes:
    """SHA-256: tokens are random enough that nothing slower is needed."""
    return hashlib.sha256(token.encode()).digest()


def claim_token(link_id: UUID, token_hash: bytes, expires_at: datetime) -> str:
    """The token of a claim on the link whose token has that hash, to the second."""
    said = _said(link_id, expires_at)
    return CLAIM_PREFIX + base64.urlsafe_b64encode(said + _mac(said, token_hash)).decode()


def read_claim(token: str) -> ClaimToken | None:
    """What the token of a claim says; None where it is none."""
    try:
        raw = base64.b64decode(token.removeprefix(CLAIM_PREFIX), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if not token.startswith(CLAIM_PREFIX) or len(raw) != ID_BYTES + TIME_BYTES + MAC_BYTES:
        return None
    seconds = int.from_bytes(raw[ID_BYTES : ID_BYTES + TIME_BYTES])
    try:
        expires_at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return ClaimToken(UUID(bytes=raw[:ID_BYTES]), expires_at, raw[ID_BYTES + TIME_BYTES :])


def is_signed(claim: ClaimToken, token_hash: bytes) -> bool:
    """Whether who made the claim held the link's token."""
    expected = _mac(_said(claim.link_id, claim.expires_at), token_hash)
    return hmac.compare_digest(expected, claim.mac)


def _said(link_id: UUID, expires_at: datetime) -> bytes:
    return link_id.bytes + int(expires_at.timestamp()).to_bytes(TIME_BYTES)


def _mac(said: bytes, token_hash: bytes) -> bytes:
    return hmac.digest(token_hash, said, "sha256")
