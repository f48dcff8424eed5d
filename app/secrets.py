"""Secrets at rest: sealed by a ring of keys, each bound to the place where it is kept.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. A sealed text is `s1.KEY.DATA`: KEY
names the key that sealed it, DATA is the nonce, the ciphertext and its tag. The place (merchant,
row, field) is authenticated with it, so a sealed text that is moved to another row, field or
merchant does not open there.
"""

import hashlib
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = "s1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""Random, so that no key should seal more than some 2^32 texts: rotate long before."""
KEY_ID_BYTES: Final = 6
PARTS: Final = 3


class NoKeys(Exception):
    """The deployment has no key to seal secrets with."""


class Unreadable(Exception):
    """A sealed text that does not open: its key is not in the ring, or it belongs elsewhere."""


class BadKeys(Exception):
    """The ring that was given makes no sense."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed text is kept: `field` is the table and column (`webhook_endpoints.secret`)."""

    merchant_id: UUID
    row_id: UUID
    field: str


class Secrets:
    """The ring: seals with the newest key, opens with any. Safe to share; shows nothing of itself.

    Without keys it refuses to seal (NoKeys), and nothing opens.
    """

    def __init__(self, keys: Mapping[str, bytes], newest: str | None) -> None:
        self._ciphers = MappingProxyType({name: AESGCM(key) for name, key in keys.items()})
        self._newest = newest

    @classmethod
    def parse(cls, text: str | None) -> "Secrets":
        """The ring that `text` lists, newest key first: 32 bytes each in Base64, separated by
        commas or blanks. Nothing, or None, is the empty ring. Raises BadKeys.
        """
        keys: dict[str, bytes] = {}
        for number, word in enumerate((text or "").replace(",", " ").split(), 1):
            try:
                key = b64decode(word, validate=True)
            except ValueError:
                key = b""
            if len(key) != KEY_BYTES:
                raise BadKeys(f"Key {number} of the ring is not {KEY_BYTES} bytes in Base64.")
            keys[key_id(key)] = key
        return cls(keys, next(iter(keys), None))

    @property
    def is_ready(self) -> bool:
        """Whether there is a key to seal with."""
        return self._newest is not None

    @property
    def mark(self) -> str:
        """How texts begin that the newest key sealed. Raises NoKeys."""
        if self._newest is None:
            raise NoKeys("This deployment has no key to keep secrets with.")
        return f"{VERSION}.{self._newest}."

    def seal(self, secret: str, place: Place) -> str:
        """`secret`, to be kept at `place`. Raises NoKeys."""
        mark = self.mark
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = self._ciphers[mark.split(".")[1]]
        sealed = cipher.encrypt(nonce, secret.encode(), _context(mark, place))
        return mark + urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, place: Place) -> str:
        """The secret that was sealed for `place`. Raises Unreadable, which says nothing of it."""
        parts = sealed.split(".")
        if len(parts) != PARTS or parts[0] != VERSION:
            raise Unreadable("This is no sealed secret.")
        cipher = self._ciphers.get(parts[1])
        if cipher is None:
            raise Unreadable(f"The key {parts[1]} that sealed a secret is not in the ring.")
        try:
            raw = b64decode(parts[2], altchars=b"-_", validate=True)
            mark = f"{VERSION}.{parts[1]}."
            return cipher.decrypt(
                raw[:NONCE_BYTES], raw[NONCE_BYTES:], _context(mark, place)
            ).decode()
        except (InvalidTag, ValueError):
            raise Unreadable("A sealed secret was changed, or belongs to another place.") from None

    def is_newest(self, sealed: str) -> bool:
        """Whether the newest key sealed it. Raises NoKeys."""
        return sealed.startswith(self.mark)


def new_key() -> str:
    """A new key for the ring, in Base64."""
    return b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def key_id(key: bytes) -> str:
    """The public name of a key: says which one it is and nothing about it."""
    digest = hashlib.sha256(b"perennial key of secrets\0" + key).digest()
    return urlsafe_b64encode(digest[:KEY_ID_BYTES]).decode()


def read_ring(text: str | None, file: Path | None) -> Secrets:
    """The ring from the two places it may be given in, of which one at most is used. Raises
    BadKeys.
    """
    if file is None:
        return Secrets.parse(text)
    if text is not None:
        raise BadKeys("Give the keys of secrets themselves, or the file they are in; not both.")
    try:
        return Secrets.parse(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        # Its name is not repeated: a key may have been given in place of it.
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadKeys(f"The file of the keys of secrets cannot be read: {why}.") from None


def _context(mark: str, place: Place) -> bytes:
    return b"\0".join(
        (mark.encode(), place.merchant_id.bytes, place.row_id.bytes, place.field.encode())
    )
