"""/v1/offers: what some customers, or all of them, are won with for a while."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer, secret_answer
from app.api.auth import Access
from app.api.common import Change, Flag, Input, ListOf
from app.api.coupons import Count
from app.api.endpoint import ANY_ORIGIN, Asked, BrowserEndpoint, Endpoint
from app.api.offer_objects import NewOfferLink, Offer, OfferClaim, OfferGift, OfferLink
from app.api.pages import Created
from app.db.views import OFFER, OFFER_LINK
from app.domain.offer import CUSTOMERS_MAX, SEGMENT_DAYS_MAX, TRIAL_DAYS_MAX, Segment
from app.domain.offer_token import TOKEN_CHARS_MAX
from app.services import offers
from app.services.offers import CreateLink, CreateOffer, UpdateOffer
from app.services.public import shown


class PublicEndpoint(BrowserEndpoint):
    """A route that publishable keys may also write to: whoever holds a link has what it takes."""

    access = Access.PUBLISHABLE


router = APIRouter(prefix="/v1/offers", tags=["offers"], route_class=Endpoint)
redeeming = APIRouter(prefix="/v1/offers/redeem", tags=["offers"], route_class=PublicEndpoint)

COUNTRIES_MAX: Final = 300
PREFLIGHT_SECONDS: Final = 86_400

Token = Annotated[
    str,
    Path(
        min_length=1,
        max_length=TOKEN_CHARS_MAX,
        description="Of a link, or the identifier of an offer that is listed.",
    ),
]


class OfferCreate(Input):
    """Gives a coupon, a price, days of trial, or several of them."""

    name: c.Name
    description: c.Description | None = None
    coupon_id: c.CouponRef | None = None
    price_id: c.PriceRef | None = None
    trial_days: Annotated[int, Field(strict=True, ge=1, le=TRIAL_DAYS_MAX)] | None = None
    customer_ids: Annotated[
        list[c.CustomerRef], Field(max_length=CUSTOMERS_MAX, description="Only for these.")
    ] = Field(default_factory=list)
    segment: Annotated[
        Segment | None, Field(description="Only for such; judged when it is redeemed.")
    ] = None
    segment_days: Annotated[int, Field(strict=True, ge=1, le=SEGMENT_DAYS_MAX)] | None = None
    segment_plan_id: c.PlanRef | None = None
    listed: Annotated[
        Flag, Field(description="Shown on price pages, and to be had without a link.")
    ] = False
    countries: Annotated[
        list[c.Country], Field(max_length=COUNTRIES_MAX, description="Where it is listed.")
    ] = Field(default_factory=list)
    start_at: c.Instant | None = None
    end_at: c.Instant | None = None
    max_redemptions: Count | None = None
    max_redemptions_per_customer: Count | None = 1
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateOffer:
        return CreateOffer(**dict(self))


class OfferUpdate(Change):
    name: c.Name = ""
    description: c.Description | None = None
    listed: Flag = False
    end_at: c.Instant | None = None
    active: Flag = True
    metadata: c.MetadataChange = Field(default_factory=dict)


class OfferList(ListOf[Offer]):
    pass


class OffersQuery(Created):
    active: bool | None = None
    coupon_id: c.CouponRef | None = None
    price_id: c.PriceRef | None = None


class OfferLinkCreate(Input):
    """For one customer, or for whoever has it."""

    customer_id: c.CustomerRef | None = None
    max_redemptions: Annotated[
        Count | None, Field(description="1: a link for one use. Null: for as many as come.")
    ] = 1
    expires_at: Annotated[
        c.Instant | None, Field(description="By default in 30 days, or with the offer.")
    ] = None


class OfferLinkList(ListOf[OfferLink]):
    pass


class OfferLinksQuery(Created):
    customer_id: c.CustomerRef | None = None


@router.post("", operation_id="create_offer", status_code=201, response_model=Offer)
async def create_offer(ask: Asked, body: OfferCreate) -> Response:
    """Create an offer. What it gives, and to whom, never changes."""
    row = await offers.create(ask.rt, ask.caller, body.command())
    return ask.shown(OFFER, row, 201)


@router.get("", operation_id="list_offers", response_model=OfferList)
async def list_offers(ask: Asked, query: Annotated[OffersQuery, Query()]) -> Response:
    """List offers, the newest first."""
    return await ask.page(OFFER, query)


@router.get("/{offer_id}", operation_id="get_offer", response_model=Offer)
async def get_offer(ask: Asked, offer_id: c.OfferRef) -> Response:
    """Get an offer."""
    return await ask.one(OFFER, offer_id)


@router.patch("/{offer_id}", operation_id="update_offer", response_model=Offer)
async def update_offer(ask: Asked, offer_id: c.OfferRef, body: OfferUpdate) -> Response:
    """Change how an offer is shown, when it ends, or whether it is made at all."""
    cmd = UpdateOffer(offer_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(OFFER, await offers.update(ask.rt, ask.caller, cmd))


@router.post(
    "/{offer_id}/links",
    operation_id="create_offer_link",
    status_code=201,
    response_model=NewOfferLink,
)
async def create_offer_link(ask: Asked, offer_id: c.OfferRef, body: OfferLinkCreate) -> Response:
    """Make a link. Its `token` is in this answer and nowhere else, also not in a replay."""
    cmd = CreateLink(offer_id, body.customer_id, body.max_redemptions, body.expires_at)
    row, token = await offers.create_link(ask.rt, ask.caller, cmd)
    return secret_answer(shown(OFFER_LINK, row) | {"token": token}, 201)


@router.get("/{offer_id}/links", operation_id="list_offer_links", response_model=OfferLinkList)
async def list_offer_links(
    ask: Asked, offer_id: c.OfferRef, query: Annotated[OfferLinksQuery, Query()]
) -> Response:
    """List the links to an offer, without their tokens, the newest first."""
    return await ask.page(OFFER_LINK, query, {"offer_id": offer_id})


@router.post(
    "/{offer_id}/links/{offer_link_id}/revoke",
    operation_id="revoke_offer_link",
    response_model=OfferLink,
)
async def revoke_offer_link(
    ask: Asked, offer_id: c.OfferRef, offer_link_id: c.OfferLinkRef
) -> Response:
    """End a link, for good; what was redeemed by it stays."""
    row = await offers.revoke_link(ask.rt, ask.caller, offer_id, offer_link_id)
    return ask.shown(OFFER_LINK, row)


@redeeming.get("/{offer_token}", operation_id="get_offer_gift", response_model=OfferGift)
async def get_offer_gift(ask: Asked, offer_token: Token) -> Response:
    """Say what the offer behind a link gives, and whether it can still be had."""
    return answer(await offers.look(ask.rt, ask.caller, offer_token))


@redeeming.post(
    "/{offer_token}", operation_id="create_offer_claim", status_code=201, response_model=OfferClaim
)
async def create_offer_claim(ask: Asked, offer_token: Token) -> Response:
    """Claim an offer: a token for the shop's backend, good for an hour.

    Nothing is redeemed or reserved by it: that is done by the subscription it is sent with.
    """
    return secret_answer(await offers.claim(ask.rt, ask.caller, offer_token), 201)


async def _preflight(_: Request) -> Response:
    """What browsers ask before they send a key from a page of another origin."""
    headers = ANY_ORIGIN | {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Idempotency-Key",
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
    return Response(None, 204, headers)


redeeming.add_route(
    "/v1/offers/redeem/{offer_token}", _preflight, methods=["OPTIONS"], include_in_schema=False
)
