"""Calls to others, signed as Standard Webhooks are (https://www.standardwebhooks.com, 1.0.0).

A signature is HMAC-SHA256 over `id.timestamp.body`; while a secret is being exchanged there is one
of each. The identifier stays the same however often a message is sent; the timestamp is the
attempt's, so that an old message cannot be passed off as a new one.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  what such secrets begin with
SECRET_BYTES: Final = 32
VERSION: Final = "v1"


def new_secret() -> str:
    """A new secret as the receiver is given it: 256 random bits."""
    return secret_of(secrets.token_bytes(SECRET_BYTES))


def secret_of(key: bytes) -> str:
    """A key as its receiver is given it."""
    return SECRET_PREFIX + b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret."""
    return b64decode(secret.removeprefix(SECRET_PREFIX))


def headers(keys: Sequence[bytes], id: str, at: datetime, body: bytes) -> dict[str, str]:
    """What goes with `body`, so that whoever has any of the keys knows it is from us."""
    moment = str(int(at.timestamp()))
    said = b".".join((id.encode(), moment.encode(), body))
    signatures = [
        f"{VERSION},{b64encode(hmac.digest(key, said, hashlib.sha256)).decode()}" for key in keys
    ]
    return {
        "webhook-id": id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(signatures),
    }
