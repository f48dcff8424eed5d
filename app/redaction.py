"""What must never be kept: card numbers and secrets, found in text and taken out of documents.

Numbers are judged by issuers' ranges, their lengths and the check digit (ISO/IEC 7812), in groups
or not; secrets by the names they travel under and by how gateways' keys begin.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

CARD_NUMBER: Final = re.compile(
    r"""(?<!\w)(?<!\w-)(?<!\d\.)(?:
        4(?:\d{12}|\d{15}|\d{18})                                 # Visa
      | (?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}  # Mastercard
      | 3[47]\d{13}                                               # American Express
      | 3(?:0[0-5]|[689]\d)\d{11}                                 # Diners Club
      | (?:6011|65\d{2}|64[4-9]\d)\d{12,15}                       # Discover
      | 35(?:2[89]|[3-8]\d)\d{12,15}                              # JCB
      | 62\d{14,17}                                               # UnionPay
      | (?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}        # Maestro
    )(?!\w|[.-]\w)""",
    re.VERBOSE | re.ASCII,
)
"""Issuers' ranges with their lengths, from the networks' published tables. A full stop or a dash
ends a number, unless more of a word follows it.
"""
GROUPED: Final = re.compile(r"(?<=\d)[ -](?=\d)")
GROUPS: Final = re.compile(
    r"(?<!\d)(?=(\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{4,5})(?!\d))", re.ASCII
)
"""As cards are printed, also where other groups of digits stand beside them."""
RUNS: Final = re.compile(r"(?<!\w)(?<!\w-)(?<!\d\.)\d(?:[ -]?\d){11,}(?!\w|[.-]\w)", re.ASCII)
"""Where a card number may be, in groups or not."""
CARD_CHARS_MIN: Final = 12
SECRET_NAME: Final = re.compile(
    r"(?:secret|password|passwd|authorization|cookie|signature|private_?key|api_?key|access_?token"
    r"|refresh_?token|transaction_?key|card_?number|account_?number|(?:^|_)(?:pan|cvv|cvc|cvn|csc)"
    r"|cvv2|cvc2|card_?code|security_?code)s?$",
    re.IGNORECASE,
)
"""Names under which secrets and card data travel, in the words of any gateway."""
SECRET_LIKE: Final = re.compile(
    r"\b(?:[sr]k_(?:test|live)_|whsec_|seti_\w+_secret_|pi_\w+_secret_|pl_[a-z0-9]{26}_)[\w+/=-]+"
)
"""How gateways' own secrets begin, wherever they stand; and tokens of payment links, to which
gateways send customers back.
"""
MASK: Final = "[redacted]"
DEPTH_MAX: Final = 40
"""Deeper than any gateway's event; below it everything is masked."""
HEADER_NAME: Final = re.compile(
    r"auth|cookie|sign|sig$|secret|token|key|cert|password|forwarded|real-ip", re.IGNORECASE
)
"""Headers that prove something or say where somebody is."""
HEADERS_MAX: Final = 40
HEADER_CHARS_MAX: Final = 200


def looks_like_card(text: str) -> bool:
    """Whether a number in `text`, grouped or not, is one a card could have."""
    if len(text) < CARD_CHARS_MIN or not any(map(str.isdigit, text)):
        return False
    printed = (GROUPED.sub("", found[1]) for found in GROUPS.finditer(text))
    readings = (text, GROUPED.sub("", text), *printed)
    return any(passes(n[0]) for reading in readings for n in CARD_NUMBER.finditer(reading))


def passes(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    odd = sum(map(int, digits[-1::-2]))
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


def masked(text: str) -> str:
    """`text` with whatever looks like a card number or a gateway's secret taken out."""
    found = SECRET_LIKE.sub(MASK, text)
    if len(found) < CARD_CHARS_MIN:
        return found
    found = RUNS.sub(_mask, found)
    for printed in sorted({match[1] for match in GROUPS.finditer(found)}, key=len, reverse=True):
        if looks_like_card(printed):
            found = found.replace(printed, MASK)
    return found


def scrubbed(value: Any, depth: int = 0) -> Any:
    """A document without what is named as a secret or card data, and without what looks so."""
    if depth > DEPTH_MAX:
        return MASK
    match value:
        case Mapping():
            return {
                masked(str(name)): MASK
                if SECRET_NAME.search(str(name)) and item is not None
                else scrubbed(item, depth + 1)
                for name, item in value.items()
            }
        case list():
            return [scrubbed(item, depth + 1) for item in value]
        case str():
            return masked(value)
        case int() if not isinstance(value, bool) and looks_like_card(str(value)):
            return MASK
        case _:
            return value


def scrubbed_body(raw: bytes) -> bytes:
    """A body as it may be kept: JSON scrubbed, anything else masked as the text it is."""
    try:
        return orjson.dumps(scrubbed(orjson.loads(raw)))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return masked(raw.decode(errors="replace")).encode()


def scrubbed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they may be kept: none that proves anything, none long."""
    return {
        masked(name)[:HEADER_CHARS_MAX]: masked(value)[:HEADER_CHARS_MAX]
        for name, value in list(headers.items())[:HEADERS_MAX]
        if not HEADER_NAME.search(name)
    }


def _mask(match: re.Match[str]) -> str:
    return MASK if looks_like_card(match[0]) else match[0]
