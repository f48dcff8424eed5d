"""Our names of PayPal's objects: a capture by its plain id, as reports, disputes and PayPal's own
pages name it; what comes before a capture with a prefix, because one id does not tell its kind.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

REQUEST_ID_CHARS_MAX: Final = 108
"""Of PayPal-Request-Id, for orders; the other APIs take more."""
WELL_FORMED: Final = re.compile(r"[0-9A-Za-z_-]{1,255}", re.ASCII)
NOBODY: Final = "none"
"""An id that PayPal gives to nothing."""


class Kind(StrEnum):
    """What a reference names."""

    CAPTURE = "capture"
    AUTHORIZATION = "authorization"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Reference:
    """One object at PayPal that stands for a charge."""

    kind: Kind
    id: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """The object that `text` names."""
        head, colon, tail = text.partition(":")
        if colon and head in {Kind.AUTHORIZATION, Kind.ORDER}:
            return cls(Kind(head), tail)
        return cls(Kind.CAPTURE, text)

    def __str__(self) -> str:
        return self.id if self.kind is Kind.CAPTURE else f"{self.kind}:{self.id}"

    @property
    def path(self) -> str:
        """Where the object is."""
        match self.kind:
            case Kind.CAPTURE:
                return capture_path(self.id)
            case Kind.AUTHORIZATION:
                return authorization_path(self.id)
            case Kind.ORDER:
                return f"/v2/checkout/orders/{segment(self.id)}"


def capture_path(own_id: str) -> str:
    """Where a capture is."""
    return f"/v2/payments/captures/{segment(own_id)}"


def authorization_path(own_id: str) -> str:
    """Where an authorization is."""
    return f"/v2/payments/authorizations/{segment(own_id)}"


def refund_path(own_id: str) -> str:
    """Where a refund is."""
    return f"/v2/payments/refunds/{segment(own_id)}"


def segment(id: str) -> str:
    """An id as one part of a path; what cannot be an id of PayPal's names nothing there."""
    return id if WELL_FORMED.fullmatch(id) else NOBODY


def request_id(key: str, step: str) -> str:
    """The PayPal-Request-Id of one step: the same for the same key, another for each step."""
    plain = f"{key}.{step}"
    if len(plain) <= REQUEST_ID_CHARS_MAX:
        return plain
    return f"{hashlib.sha256(key.encode()).hexdigest()}.{step}"
