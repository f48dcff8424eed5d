"""Structured logging with every secret and card-like number taken out before it is written."""

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

SECRET_KEYS: Final = frozenset(
    """
    authorization api_key secret client_secret password token database_url redis_url key
    """.split()  # noqa: SIM905  one word each, read at a glance
)
# 13 to 19 digits, also in groups, that pass for a card number: ISO/IEC 7812 lengths.
CARD_LIKE: Final = re.compile(r"(?<![\w.])(?:\d[ -]?){12,18}\d(?![\w.])")
TRACEBACKS: Final = {
    "json": structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # they would show secrets
    ),
    "console": structlog.processors.format_exc_info,
}
# Stripe's keys and ours, its webhook secrets, and the part of a client secret that is secret.
API_KEY_LIKE: Final = re.compile(
    r"\b([spr]k_(?:test|live)_|whsec_|(?:pi|seti)_[A-Za-z0-9]+_secret_)\w+"
)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004  the Luhn rule itself
    return total % 10 == 0


def _mask(match: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", match[0])
    return f"[card …{digits[-4:]}]" if passes_luhn(digits) else match[0]


def redact(text: str) -> str:
    """`text` with keys, secrets and anything that passes the Luhn check as a card number masked."""
    return API_KEY_LIKE.sub(r"\1[redacted]", CARD_LIKE.sub(_mask, text))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {k: "[redacted]" if k in SECRET_KEYS else _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _redactor(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in list(event):
        event[key] = "[redacted]" if key in SECRET_KEYS else _clean(event[key])
    return event


def configure(level: str = "info", form: str = "json") -> None:
    """Set up structlog once per process; `form` is `json` or `console`."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            TRACEBACKS[form],
            _redactor,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> Any:
    """A logger bound to the module that speaks."""
    return structlog.get_logger(module=name)
