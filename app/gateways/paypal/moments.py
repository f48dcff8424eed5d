"""Moments as PayPal writes them."""

from datetime import UTC, datetime


def read(text: str | None) -> datetime | None:
    """The moment, in UTC; None when there is none. PayPal's own webhook simulator says things like
    2018-19-12T21:20:49Z, and nothing of ours hangs on them.
    """
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def write(moment: datetime) -> str:
    """The moment to the second, as every API of PayPal's reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_precisely(moment: datetime) -> str:
    """The moment to the millisecond, as the disputes API writes its own."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
