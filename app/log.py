"""Structured logging with every secret and card-like number taken out before it is written."""

import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

import structlog

SECRET_KEY: Final = re.compile(
    r"(?:.*_)?(?:authorization|api_key|secrets?|passwords?|tokens?)|database_url|redis_url|key"
)
# 13 to 19 digits, also in groups, that pass for a card number: ISO/IEC 7812 lengths.
# A full stop ends a number, unless more of it follows.
CARD_LIKE: Final = re.compile(r"(?<!\w)(?<!\d\.)(?:\d[ -]?){12,18}\d(?!\w|\.\w)")
CARD_NUMBERS_FROM: Final = 10**14
"""Smaller numbers are moments in milliseconds, and counts."""
MASK: Final = "[redacted]"
CONCEALED: ContextVar[tuple[str, ...]] = ContextVar("concealed", default=())
"""Secrets of the gateway account in hand."""
CONCEALED_ALWAYS: set[str] = set()
"""Secrets of the deployment."""
TRACEBACKS: Final = {
    "json": structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # they would show secrets
    ),
    "console": structlog.processors.format_exc_info,
}
# Stripe's keys and ours, webhooks' secrets, the part of a client secret that is secret, and the
# tokens of our links: to the last character that there is in Base64 of either kind.
API_KEY_LIKE: Final = re.compile(
    r"\b([spr]k_(?:test|live)_|whsec_|(?:pi|seti)_[A-Za-z0-9]+_secret_|pl_[a-z0-9]{26}_"
    r"|(?:ct|ol|oc)_(?=[\w-]{40}))[\w+/=-]+"
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


def conceal(secrets: Iterable[str]) -> None:
    """Let no log of this process repeat these."""
    CONCEALED_ALWAYS.update(secrets)


def redact(text: str) -> str:
    """`text` with keys, secrets and anything that passes the Luhn check as a card number masked."""
    for secret in (*CONCEALED_ALWAYS, *CONCEALED.get()):
        text = text.replace(secret, MASK)
    return API_KEY_LIKE.sub(r"\1[redacted]", CARD_LIKE.sub(_mask, text))


def _clean(value: Any) -> Any:
    match value:
        case str():
            return redact(value)
        case int() if abs(value) >= CARD_NUMBERS_FROM:
            said = redact(str(value))
            return value if said == str(value) else said
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {_clean(k): MASK if _is_secret(k) else _clean(v) for k, v in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case _:
            return redact(str(value))  # or the renderer would write it as it is


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and SECRET_KEY.fullmatch(name) is not None


def _redactor(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in list(event):
        event[key] = MASK if _is_secret(key) else _clean(event[key])
    return event


class Masking(logging.Formatter):
    """What another formatter makes of a record of the standard library's, masked."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._inner.format(record))


def mask_others() -> None:
    """Mask what is logged past structlog too: by the web server, the job queue, the drivers."""
    named = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for logger in (logging.root, *named):
        for handler in logger.handlers:
            if not isinstance(handler.formatter, Masking):
                handler.setFormatter(Masking(handler.formatter))


def configure(level: str = "info", form: str = "json", secrets: Iterable[str] = ()) -> None:
    """Set up structlog once per process; `form` is `json` or `console`, and no log ever repeats one
    of the `secrets`.
    """
    conceal(secrets)
    mask_others()
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
