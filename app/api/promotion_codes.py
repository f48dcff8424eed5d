"""/v1/promotion_codes: words that customers type in to get a coupon."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import Change, Flag, Input, ListOf
from app.api.coupons import IDS_MAX, Amounts, Count
from app.api.endpoint import Asked, Endpoint
from app.api.offer_objects import PromotionCode, PromotionCodeCheck
from app.api.pages import Created
from app.db.views import PROMOTION_CODE
from app.services import promotion_codes
from app.services.promotion_codes import Check, CreatePromotionCode, UpdatePromotionCode

router = APIRouter(prefix="/v1/promotion_codes", tags=["promotion_codes"], route_class=Endpoint)

Word = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{2,49}$",
        description="Upper and lower case are the same; kept in capitals.",
        examples=["WELCOME10"],
    ),
]
Typed = Annotated[
    str, Field(min_length=1, max_length=50, description="As typed in.", examples=["welcome10"])
]


class PromotionCodeCreate(Input):
    """Without a `code` one is made that cannot be guessed."""

    coupon_id: c.CouponRef
    code: Word | None = None
    customer_id: Annotated[
        c.CustomerRef | None, Field(description="Only this customer may use it.")
    ] = None
    minimum_amounts: Annotated[
        Amounts, Field(description="What is bought must come to this when the code is redeemed.")
    ] = Field(default_factory=dict)
    first_time_only: Flag = False
    expires_at: c.Instant | None = None
    max_redemptions: Count | None = None
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreatePromotionCode:
        return CreatePromotionCode(**dict(self))


class PromotionCodeUpdate(Change):
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class PromotionCodeList(ListOf[PromotionCode]):
    pass


class PromotionCodesQuery(Created):
    active: bool | None = None
    code: Typed | None = None
    coupon_id: c.CouponRef | None = None
    customer_id: c.CustomerRef | None = None


class CheckQuery(Input):
    code: Typed
    customer_id: c.CustomerRef | None = None
    price_ids: Annotated[
        list[c.PriceRef], Field(max_length=IDS_MAX, description="What is to be bought, one each.")
    ] = Field(default_factory=list)


@router.post(
    "", operation_id="create_promotion_code", status_code=201, response_model=PromotionCode
)
async def create_promotion_code(ask: Asked, body: PromotionCodeCreate) -> Response:
    """Create a promotion code for a coupon."""
    row = await promotion_codes.create(ask.rt, ask.caller, body.command())
    return ask.shown(PROMOTION_CODE, row, 201)


@router.get("", operation_id="list_promotion_codes", response_model=PromotionCodeList)
async def list_promotion_codes(
    ask: Asked, query: Annotated[PromotionCodesQuery, Query()]
) -> Response:
    """List promotion codes, the newest first."""
    return await ask.page(PROMOTION_CODE, query)


@router.get("/check", operation_id="get_promotion_code_check", response_model=PromotionCodeCheck)
async def get_promotion_code_check(ask: Asked, query: Annotated[CheckQuery, Query()]) -> Response:
    """Say whether a code can be used now, by whom and for what is known, and if not, why.

    Nothing is reserved. A code that does not exist is answered in the same shape.
    """
    asked = Check(query.code, query.customer_id, query.price_ids)
    return answer(await promotion_codes.check(ask.rt, ask.caller, asked))


@router.get("/{promotion_code_id}", operation_id="get_promotion_code", response_model=PromotionCode)
async def get_promotion_code(ask: Asked, promotion_code_id: c.PromotionCodeRef) -> Response:
    """Get a promotion code."""
    return await ask.one(PROMOTION_CODE, promotion_code_id)


@router.patch(
    "/{promotion_code_id}", operation_id="update_promotion_code", response_model=PromotionCode
)
async def update_promotion_code(
    ask: Asked, promotion_code_id: c.PromotionCodeRef, body: PromotionCodeUpdate
) -> Response:
    """Stop accepting a promotion code, or accept it again."""
    changes = body.model_dump(exclude_unset=True)
    cmd = UpdatePromotionCode(promotion_code_id, changes, ask.expected_version())
    return ask.shown(PROMOTION_CODE, await promotion_codes.update(ask.rt, ask.caller, cmd))
