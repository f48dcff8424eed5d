"""What Razorpay signs: a payment with the key's secret, a delivery with the webhook's.

Both are HMAC-SHA256 in hexadecimal; the vectors of Razorpay's own SDK agree.
"""

import hashlib
import hmac


def signature(message: bytes, secret: str) -> str:
    """The signature of these very bytes."""
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


def is_signed(message: bytes, given: str, secret: str) -> bool:
    """Whether it is theirs; in constant time."""
    expected = signature(message, secret).encode()
    return hmac.compare_digest(expected, given.encode())


def payment_message(order_id: str, payment_id: str) -> bytes:
    """What is signed of a payment: that it is one of this order."""
    return f"{order_id}|{payment_id}".encode()
