"""/v1/tax_engine: the outside engine whose rates apply in place of the merchant's own table."""

from datetime import date
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from app.api.answers import answer, secret_answer
from app.api.common import At, Input, Output, Version, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.tax import BuyerInput
from app.api.tax_objects import TaxCode
from app.db.base import Row
from app.domain import decimals
from app.domain.tax_engine import FailPolicy, Failure
from app.services import tax_engines
from app.services.public import PERCENT_PLACES
from app.services.tax_engines import TTL_SECONDS, PutTaxEngine, Tested

router = APIRouter(prefix="/v1/tax_engine", tags=["tax_engine"], route_class=Endpoint)

TTL_MIN: Final = 60
TTL_MAX: Final = 2_592_000
FIELDS: Final = ("kind", "url", "fail_policy", "ttl_seconds", "created_at", "version")

Url = Annotated[
    str,
    Field(
        min_length=8,
        max_length=500,
        pattern=r"^https?://[\x21-\x7e]+$",
        description="Called with POST; the documentation has the contract.",
        examples=["https://tax.example.com/rates"],
    ),
]


class TaxEnginePut(Input):
    url: Url
    kind: Literal["http"] = "http"
    fail_policy: Annotated[
        FailPolicy,
        Field(
            description="While it gives no answer: block lets bills wait, use_table taxes them by "
            "the merchant's own rates."
        ),
    ] = FailPolicy.BLOCK
    ttl_seconds: Annotated[
        int,
        Field(strict=True, ge=TTL_MIN, le=TTL_MAX, description="How long an answer is good for."),
    ] = TTL_SECONDS

    def command(self, expected_version: int | None) -> PutTaxEngine:
        return PutTaxEngine(**dict(self), expected_version=expected_version)


class TaxEngineTestCreate(Input):
    buyer: BuyerInput
    tax_code: TaxCode | None = None


class TaxEngine(Output):
    object: Literal["tax_engine"]
    kind: Annotated[
        Annotated[str, open_enum("http")] | None, Field(description="Null: there is no engine.")
    ]
    url: str | None
    fail_policy: Annotated[str, open_enum(*FailPolicy)] | None
    ttl_seconds: int | None
    created_at: At | None
    version: Version


class TaxEngineWithSecret(TaxEngine):
    signing_secret: Annotated[
        str, Field(description="By which the engine knows our calls.", examples=["whsec_…"])
    ]


class EngineRate(Output):
    name: str
    jurisdiction: str
    percentage: str


class EngineFailure(Output):
    kind: Annotated[str, open_enum("unreachable", "refused", "unreadable")]
    detail: Annotated[str, Field(examples=["status_401"])]


class TaxEngineTest(Output):
    object: Literal["tax_engine_test"]
    day: date
    tax_code: str | None
    rates: list[EngineRate]
    reason: Annotated[str | None, Field(description="Why rates of zero are zero.")]
    failure: Annotated[EngineFailure | None, Field(description="Why there is no answer.")]


def _public(row: Row | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"object": "tax_engine"}
    if row is None:
        return shown | dict.fromkeys(FIELDS) | {"version": 0}
    return shown | {key: row[key] for key in FIELDS}


@router.get("", operation_id="get_tax_engine", response_model=TaxEngine)
async def get_tax_engine(ask: Asked) -> Response:
    """Get the tax engine; without one, every field is null and the version 0."""
    return answer(_public(await tax_engines.get(ask.rt, ask.caller)))


@router.put("", operation_id="update_tax_engine", response_model=TaxEngineWithSecret)
async def update_tax_engine(ask: Asked, body: TaxEnginePut) -> Response:
    """Set the tax engine: from now on its rates apply. What another one said is forgotten."""
    cmd = body.command(ask.expected_version())
    row, secret = await tax_engines.put(ask.rt, ask.caller, cmd)
    return secret_answer(_public(row) | {"signing_secret": secret}, 200)


@router.delete("", operation_id="delete_tax_engine", response_model=TaxEngine)
async def delete_tax_engine(ask: Asked) -> Response:
    """Go back to the table of rates."""
    await tax_engines.delete(ask.rt, ask.caller, ask.expected_version())
    return answer(_public(None))


@router.post("/test", operation_id="create_tax_engine_test", response_model=TaxEngineTest)
async def create_tax_engine_test(ask: Asked, body: TaxEngineTestCreate) -> Response:
    """Ask the tax engine about a buyer, today. Nothing is billed by it, and nothing kept."""
    buyer = body.buyer.asked()
    return answer(_tested(await tax_engines.test(ask.rt, ask.caller, buyer, body.tax_code)))


def _tested(found: Tested) -> dict[str, Any]:
    said, topic = found.said, {"day": found.question.day, "tax_code": found.question.tax_code}
    shown: dict[str, Any] = {"object": "tax_engine_test", **topic}
    shown |= {"rates": [], "reason": None, "failure": None}
    if isinstance(said, Failure):
        return shown | {"failure": {"kind": said.kind, "detail": said.detail}}
    rates = [
        {
            "name": rate.name,
            "jurisdiction": rate.jurisdiction,
            "percentage": decimals.show(rate.percentage_ppm, PERCENT_PLACES),
        }
        for rate in said.rates
    ]
    return shown | {"rates": rates, "reason": said.reason}
