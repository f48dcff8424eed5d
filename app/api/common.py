"""Words that several resources share: bounded texts, identifiers, amounts, instants, lists."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from app import ids
from app.domain.currency import EXPONENTS

METADATA_KEYS_MAX: Final = 50
METADATA_KEY_CHARS_MAX: Final = 40
METADATA_VALUE_CHARS_MAX: Final = 500
AMOUNT_MAX: Final = 999_999_999_999_999
"""In minor units: sums of many such amounts still fit the database's 64-bit integers."""
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Beyond them a date is a mistake, and arithmetic on it may leave what calendars can say."""
EXAMPLE_ID: Final = "01k9zs8m4vf1xr7c2n5q0d3tyb"


class Input(BaseModel):
    """What callers send: a field we do not know is refused, never ignored."""

    model_config = ConfigDict(extra="forbid")


def _without_defaults(schema: dict[str, Any]) -> None:
    """A default would read as what is set when nothing is sent; but what is not sent stays."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class Change(BaseModel):
    """What callers send to change something: fields that are not sent stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)


class Output(BaseModel):
    """What callers get; every field is always there, but for what is only there when expanded."""


Item = TypeVar("Item")


class ListOf(Output, Generic[Item]):
    """A page, the newest first."""

    object: Literal["list"]
    data: list[Item]
    has_more: bool
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page.")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("This is not an IANA time zone.")
    return name


def _currency(code: str) -> str:
    if code not in EXPONENTS:
        raise ValueError("This is not an active ISO 4217 currency code.")
    return code


def _instant(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError("It must lie between the years 2000 and 2200.")
    return value.astimezone(UTC)


def _instant_text(value: Any) -> Any:
    if isinstance(value, str | datetime):
        return value
    raise ValueError("Write an instant as RFC 3339 text, such as 2030-01-31T09:00:00Z.")


def _text(limit: int, example: str) -> Any:
    return Field(min_length=1, max_length=limit, examples=[example])


Name = Annotated[str, _text(200, "Ada Lovelace")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$", examples=["pro"])]
Description = Annotated[str, _text(1_000, "For teams")]
ExternalId = Annotated[str, _text(200, "user-4711")]
Email = Annotated[
    str, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+$", examples=["ada@example.com"])
]
Country = Annotated[
    str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2", examples=["DE"])
]
Currency = Annotated[
    str,
    Field(pattern=r"^[A-Z]{3}$", description="ISO 4217", examples=["EUR"]),
    AfterValidator(_currency),
]
TimeZone = Annotated[
    str,
    Field(max_length=64, description="IANA", examples=["Europe/Berlin"]),
    AfterValidator(_zone),
]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant_text),
    AfterValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2030-01-31T09:00:00Z"]}),
]
AsOf = Annotated[
    Instant | None, Query(description="As things stood at that instant; absent: as they are.")
]
Flag = Annotated[bool, Field(strict=True)]
Amount = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=AMOUNT_MAX,
        description="In minor units of the currency: 1234 is 12.34 EUR, and 1234 JPY.",
        examples=[1234],
    ),
]
PositiveAmount = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=AMOUNT_MAX,
        description="In minor units of the currency: 1234 is 12.34 EUR, and 1234 JPY.",
        examples=[1234],
    ),
]
SignedAmount = Annotated[
    int,
    Field(
        strict=True,
        ge=-AMOUNT_MAX,
        le=AMOUNT_MAX,
        description="In minor units of the currency; may be negative.",
        examples=[-500],
    ),
]
UnitAmount = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,15}(\.[0-9]{1,12})?$",
        description="In minor units, exactly, as text: 0.0125 is an eightieth of a cent.",
        examples=["0.0125"],
    ),
]
Percentage = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$",
        description="Percent, exactly, as text.",
        examples=["8.875"],
    ),
]
MetadataKey = Annotated[str, Field(min_length=1, max_length=METADATA_KEY_CHARS_MAX)]
MetadataValue = Annotated[str, Field(max_length=METADATA_VALUE_CHARS_MAX)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(
        max_length=METADATA_KEYS_MAX,
        description="Yours to fill: up to 50 texts by name.",
        examples=[{"team": "blue"}],
    ),
]
MetadataChange = Annotated[
    dict[MetadataKey, MetadataValue | None],
    Field(
        max_length=METADATA_KEYS_MAX,
        description="Merged with what is there; null takes a key out.",
        examples=[{"team": "red", "old": None}],
    ),
]


def _parser(prefix: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if isinstance(value, UUID):
            return value
        try:
            return ids.parse(prefix, value if isinstance(value, str) else "")
        except ids.InvalidId:
            raise ValueError(f"This is not an identifier of the form {prefix}_….") from None

    return parse


def _schema(prefix: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": f"^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$",
        "examples": [f"{prefix}_{EXAMPLE_ID}"],
    }


def _ref(prefix: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(_parser(prefix)), WithJsonSchema(_schema(prefix))


# Identifiers as callers send them: text outside, UUID inside.
ApiKeyRef = Annotated[UUID, *_ref("key")]
CouponRef = Annotated[UUID, *_ref("cpn")]
CreditNoteRef = Annotated[UUID, *_ref("cn")]
CustomerRef = Annotated[UUID, *_ref("cus")]
DeliveryRef = Annotated[UUID, *_ref("del")]
DiscountRef = Annotated[UUID, *_ref("dis")]
DisputeRef = Annotated[UUID, *_ref("dp")]
DunningPolicyRef = Annotated[UUID, *_ref("dpol")]
DunningRunRef = Annotated[UUID, *_ref("dun")]
EventRef = Annotated[UUID, *_ref("evt")]
FeatureRef = Annotated[UUID, *_ref("ftr")]
GatewayAccountRef = Annotated[UUID, *_ref("gwa")]
InboundEventRef = Annotated[UUID, *_ref("ine")]
InvoiceLineRef = Annotated[UUID, *_ref("il")]
InvoiceRef = Annotated[UUID, *_ref("inv")]
MerchantRef = Annotated[UUID, *_ref("mer")]
MeterRef = Annotated[UUID, *_ref("mtr")]
OfferLinkRef = Annotated[UUID, *_ref("link")]
OfferRef = Annotated[UUID, *_ref("offer")]
PaymentLinkRef = Annotated[UUID, *_ref("plink")]
PaymentMethodRef = Annotated[UUID, *_ref("pm")]
PaymentRef = Annotated[UUID, *_ref("pay")]
PendingItemRef = Annotated[UUID, *_ref("pi")]
PlanRef = Annotated[UUID, *_ref("plan")]
PriceMigrationRef = Annotated[UUID, *_ref("pmg")]
PriceRef = Annotated[UUID, *_ref("price")]
PromotionCodeRef = Annotated[UUID, *_ref("promo")]
RedemptionRef = Annotated[UUID, *_ref("rdm")]
ReconciliationRef = Annotated[UUID, *_ref("rec")]
ReconciliationDifferenceRef = Annotated[UUID, *_ref("diff")]
RefundRef = Annotated[UUID, *_ref("re")]
ScheduledChangeRef = Annotated[UUID, *_ref("sch")]
SetupSessionRef = Annotated[UUID, *_ref("setup")]
SubscriptionRef = Annotated[UUID, *_ref("sub")]
SubscriptionItemRef = Annotated[UUID, *_ref("si")]
TaxRateRef = Annotated[UUID, *_ref("txr")]
TaxIdRef = Annotated[UUID, *_ref("txi")]
TaxRegistrationRef = Annotated[UUID, *_ref("txreg")]
TestClockRef = Annotated[UUID, *_ref("clock")]
WebhookEndpointRef = Annotated[UUID, *_ref("we")]


def _id(prefix: str) -> Any:
    return WithJsonSchema(_schema(prefix))


# Identifiers as callers get them.
ApiKeyId = Annotated[str, _id("key")]
BalanceTransactionId = Annotated[str, _id("bt")]
CouponId = Annotated[str, _id("cpn")]
CreditNoteId = Annotated[str, _id("cn")]
CreditNoteLineId = Annotated[str, _id("cnl")]
CustomerId = Annotated[str, _id("cus")]
DeliveryId = Annotated[str, _id("del")]
DiscountId = Annotated[str, _id("dis")]
DisputeId = Annotated[str, _id("dp")]
DunningPolicyId = Annotated[str, _id("dpol")]
DunningRunId = Annotated[str, _id("dun")]
EventId = Annotated[str, _id("evt")]
FeatureId = Annotated[str, _id("ftr")]
GatewayAccountId = Annotated[str, _id("gwa")]
InboundEventId = Annotated[str, _id("ine")]
InvoiceId = Annotated[str, _id("inv")]
InvoiceLineId = Annotated[str, _id("il")]
LedgerEntryId = Annotated[str, _id("le")]
MerchantId = Annotated[str, _id("mer")]
MeterId = Annotated[str, _id("mtr")]
OfferId = Annotated[str, _id("offer")]
OfferLinkId = Annotated[str, _id("link")]
PaymentId = Annotated[str, _id("pay")]
PaymentLinkId = Annotated[str, _id("plink")]
PaymentMethodId = Annotated[str, _id("pm")]
PendingItemId = Annotated[str, _id("pi")]
PlanId = Annotated[str, _id("plan")]
PriceMigrationId = Annotated[str, _id("pmg")]
PriceId = Annotated[str, _id("price")]
PromotionCodeId = Annotated[str, _id("promo")]
RedemptionId = Annotated[str, _id("rdm")]
ReconciliationId = Annotated[str, _id("rec")]
ReconciliationDifferenceId = Annotated[str, _id("diff")]
RefundId = Annotated[str, _id("re")]
SetupSessionId = Annotated[str, _id("setup")]
SubscriptionId = Annotated[str, _id("sub")]
SubscriptionItemId = Annotated[str, _id("si")]
SubscriptionScheduleId = Annotated[str, _id("sched")]
ScheduledChangeId = Annotated[str, _id("sch")]
TaxRateId = Annotated[str, _id("txr")]
TaxIdId = Annotated[str, _id("txi")]
TaxRegistrationId = Annotated[str, _id("txreg")]
TestClockId = Annotated[str, _id("clock")]
WebhookEndpointId = Annotated[str, _id("we")]

Version = Annotated[int, Field(description="Grows with each change; also the ETag.", examples=[1])]
At = Annotated[datetime, Field(examples=["2030-01-31T09:00:00Z"])]
MinorUnits = Annotated[int, Field(description="Minor units.", examples=[1234])]


def open_enum(*values: str) -> Any:
    """A text that may get further values one day: clients must bear with ones they do not know.

    The first is the example.
    """
    known: list[Any] = list(dict.fromkeys(map(str, values)))
    return Field(json_schema_extra={"x-extensible-enum": known}, examples=[known[0]])


Expanded: Any = Field(
    default=None, description="Only with `expand`.", json_schema_extra={"x-expandable": True}
)
Documents = Annotated[dict[str, str], Field(examples=[{"team": "blue"}])]
