"""What a deployment may set, from the environment or `.env`; every value has a working default."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+asyncpg"})
REDIS: Final = frozenset({"redis", "rediss", "unix"})
SECRET_CHARS_MIN: Final = 8
"""Shorter ones are words that logs are full of."""


def _is_address(given: SecretStr, schemes: frozenset[str]) -> SecretStr:
    """Refuse here what drivers would refuse with a piece of the password in their words."""
    text = given.get_secret_value()
    try:
        url = urlsplit(text)
        _ = url.port
        is_one = url.scheme in schemes and "@" not in f"{url.path}{url.fragment}"
    except ValueError:
        is_one = False
    if not is_one:
        named = ", ".join(sorted(f"{scheme}://" for scheme in schemes))
        raise ValueError(
            f"it must be an address that begins with one of {named}; in a password, #, /, ? and @"
            " are written %23, %2F, %3F and %40"
        )
    return given


def _postgresql(given: SecretStr) -> SecretStr:
    return _is_address(given, POSTGRESQL)


def _redis(given: SecretStr) -> SecretStr:
    return _is_address(given, REDIS)


class Settings(BaseSettings):
    """Read once at start-up; frozen afterwards. What does not fit is never repeated in an error."""

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    database_url: Annotated[
        SecretStr,
        Field(validation_alias="DATABASE_URL", description="PostgreSQL 15 to 18"),
        AfterValidator(_postgresql),
    ] = SecretStr("postgresql://perennial@localhost/perennial")
    redis_url: Annotated[
        SecretStr,
        Field(validation_alias="REDIS_URL", description="Redis or Valkey; the doorbell only"),
        AfterValidator(_redis),
    ] = SecretStr("redis://localhost:6379/0")
    simulator_url: str = "http://127.0.0.1:8127"
    public_url: Annotated[
        str, Field(pattern=r"^https?://[^\s?#]+$", description="where others reach this service")
    ] = "http://127.0.0.1:8000"
    admin_key: SecretStr | None = None
    """Bearer key of the merchants API (`POST /v1/merchants`); absent means that API is closed."""
    secret_keys: Annotated[
        SecretStr | None, Field(description="32 bytes in Base64 each, the newest first")
    ] = None
    """What secrets in the database are sealed with; absent means that none can be stored."""
    secret_keys_file: Annotated[
        Path | None, Field(description="the same in a file, in place of the variable")
    ] = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    pool_size: Annotated[int, Field(ge=1, le=200, description="connections per process")] = 10
    statement_timeout_ms: Annotated[int, Field(ge=100)] = 30_000
    lock_timeout_ms: Annotated[int, Field(ge=100)] = 5_000
    idle_in_transaction_timeout_ms: Annotated[int, Field(ge=1_000)] = 30_000
    body_bytes_max: Annotated[int, Field(ge=1_024)] = 1_048_576
    chunk_size: Annotated[
        int, Field(ge=1, le=5_000, description="subscriptions per renewal chunk")
    ] = 1_000
    charges_in_flight: Annotated[int, Field(ge=1, le=500, description="gateway calls at once")] = 50

    inbound_event_days: Annotated[
        int, Field(ge=7, le=3_650, description="how long settled events of gateways are kept")
    ] = 90

    expiry_notice_days: Annotated[
        int, Field(ge=1, le=365, description="how long before a card expires it is told of")
    ] = 30

    gateway_timeout_seconds: Annotated[
        int, Field(ge=1, le=100, description="a call not answered by then has an unknown outcome")
    ] = 80

    tax_engine_secret: Annotated[
        SecretStr | None,
        Field(min_length=32, description="merchants' signing secrets are derived from it"),
    ] = None
    """Absent means that merchants have no outside tax engines."""
    private_addresses_allowed: Annotated[
        bool,
        Field(description="whether merchants' endpoints and engines may be in the own network"),
    ] = False
    webhook_timeout_seconds: Annotated[
        int, Field(ge=1, le=30, description="an endpoint that has not answered by then has failed")
    ] = 15
    webhooks_in_flight: Annotated[
        int, Field(ge=1, le=250, description="endpoints a worker tells at once")
    ] = 100
    webhooks_per_endpoint: Annotated[
        int, Field(ge=1, le=50, description="calls to one endpoint at once")
    ] = 10

    @property
    def secrets(self) -> frozenset[str]:
        """All that is secret here, as logs could come to repeat it."""
        given = (self.admin_key, self.secret_keys, self.tax_engine_secret)
        plain = [each.get_secret_value() for each in given if each is not None]
        keys = (self.secret_keys.get_secret_value() if self.secret_keys else "").replace(",", " ")
        found = {*plain, *keys.split()}
        for address in (self.database_url, self.redis_url):
            written = urlsplit(address.get_secret_value()).password or ""
            found |= {written, unquote(written)}
        return frozenset(each for each in found if len(each) >= SECRET_CHARS_MIN)

    @property
    def gateway_urls(self) -> dict[str, str]:
        """Where gateways that have no address of their own are to be found."""
        return {"simulator": self.simulator_url}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read on first use."""
    return Settings()
