"""What an account at Stripe needs to be opened, and what keeps test and live apart."""

from typing import Final

from app.gateways.base import AccountMode, AccountSettings, ConfigurationError, CredentialField

SECRET_KEY: Final = "secret_key"  # noqa: S105  the name of a field
PUBLISHABLE_KEY: Final = "publishable_key"
RETURN_URL: Final = "return_url"
FIELDS: Final = (
    CredentialField(
        SECRET_KEY,
        "A secret key (sk_…) or, better, a restricted one (rk_…) of the account.",
        test_prefixes=("sk_test_", "rk_test_"),
        live_prefixes=("sk_live_", "rk_live_"),
        pattern=r"(sk|rk)_(test|live)_[A-Za-z0-9_]+",
    ),
    CredentialField(
        PUBLISHABLE_KEY,
        "The publishable key (pk_…): set-up sessions hand it to Stripe.js in the shop's page.",
        is_secret=False,
        is_required=False,
        test_prefixes=("pk_test_",),
        live_prefixes=("pk_live_",),
        pattern=r"pk_(test|live)_[A-Za-z0-9_]+",
    ),
    CredentialField(
        RETURN_URL,
        "Where a bank's or wallet's page sends customers back to. Without it, only payment methods "
        "that need no such page are offered and charged: cards, Link, bank debits.",
        is_secret=False,
        is_required=False,
        pattern=r"https://\S+",
    ),
)


def secret_key(account: AccountSettings) -> str:
    """The account's secret key, which is of its mode. Raises ConfigurationError."""
    if account.mode is AccountMode.LIVE and account.base_url is not None:
        raise ConfigurationError("A live account always speaks to Stripe's own address.")
    given = account.credentials.get(SECRET_KEY)
    key = given.get_secret_value() if given else ""
    _same_mode(FIELDS[0], key, account.mode)
    public = account.options.get(PUBLISHABLE_KEY)
    if public is not None:
        _same_mode(FIELDS[1], public, account.mode)
    return key


def _same_mode(field: CredentialField, value: str, mode: AccountMode) -> None:
    allowed = field.live_prefixes if mode is AccountMode.LIVE else field.test_prefixes
    if not value.startswith(allowed) or not (value.isascii() and value.isprintable()):
        raise ConfigurationError(
            f"The {field.name} of a {mode} account at Stripe begins with {' or '.join(allowed)}."
        )
