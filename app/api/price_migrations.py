"""/v1/price_migrations: many subscriptions moved from one price to another, worked out first."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import Field, model_validator
from starlette.responses import Response

from app.api import common as c
from app.api.common import At, Documents, Input, ListOf, MinorUnits, Output, Version, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.objects import Subscription
from app.api.pages import Created, Listing
from app.db.views import PRICE_MIGRATION, PRICE_MIGRATION_ITEM
from app.domain.migrating import ItemStatus, Moment, Status
from app.domain.policy import Settlement
from app.services import lookup, price_migrations
from app.services.price_migrations import CreatePriceMigration

router = APIRouter(prefix="/v1/price_migrations", tags=["price_migrations"], route_class=Endpoint)

COUNTRIES_MAX = 250
STATUSES = open_enum("estimating", "ready", "running", "completed", "canceled")


class PriceMigrationFilters(Input):
    """Which of the subscribers are moved. Absent: all."""

    countries: Annotated[
        list[c.Country], Field(max_length=COUNTRIES_MAX, description="Where customers are.")
    ] = Field(default_factory=list)
    created_before: Annotated[
        c.Instant | None, Field(description="Subscriptions made before that.")
    ] = None
    metadata: Annotated[c.Metadata, Field(description="What subscriptions carry.")] = Field(
        default_factory=dict
    )


class PriceMigrationCreate(Input):
    """From a price, or from all prices of a plan, to another price; quantities are kept."""

    from_price_id: c.PriceRef | None = None
    from_plan_id: c.PlanRef | None = None
    to_price_id: c.PriceRef
    when: Annotated[
        Literal["now", "renewal"] | None,
        Field(description="Absent, without `at`: each at its renewal."),
    ] = None
    at: Annotated[c.Instant | None, Field(description="A moment to move them all at.")] = None
    settlement: Annotated[
        Settlement | None,
        Field(description="Of what is moved inside a period. Absent: the billing settings'."),
    ] = None
    filters: PriceMigrationFilters = Field(default_factory=PriceMigrationFilters)
    metadata: c.Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source_one_moment(self) -> Self:
        if (self.from_price_id is None) == (self.from_plan_id is None):
            raise ValueError("Name the price or the plan to move from.")
        if self.when is not None and self.at is not None:
            raise ValueError("Say when or at, not both.")
        return self

    def command(self) -> CreatePriceMigration:
        moment = Moment.AT if self.at is not None else Moment(self.when or Moment.RENEWAL)
        return CreatePriceMigration(
            to_price_id=self.to_price_id,
            from_price_id=self.from_price_id,
            from_plan_id=self.from_plan_id,
            moment=moment,
            at=self.at,
            settlement=self.settlement,
            countries=self.filters.countries,
            created_before=self.filters.created_before,
            subscription_metadata=self.filters.metadata,
            metadata=self.metadata,
        )


class EstimatedAmounts(Output):
    """Of those that can be moved, in one currency."""

    currency: c.Currency
    subscriptions: int
    before: Annotated[
        int, Field(description="What their items cost in a full period, without usage and taxes.")
    ]
    after: MinorUnits
    credited: Annotated[int, Field(description="What comes back at once.")]
    charged: Annotated[int, Field(description="What is charged at once.")]


class EstimatedRefusals(Output):
    """Those that cannot be moved, for one reason."""

    code: Annotated[str, Field(examples=["price_currency_mismatch"])]
    reason: str
    subscriptions: int


class Estimate(Output):
    movable: int
    refused: int
    amounts: list[EstimatedAmounts]
    refusals: list[EstimatedRefusals]


class MigrationFilters(Output):
    countries: list[c.Country]
    created_before: At | None
    metadata: Documents


class PriceMigration(Output):
    id: c.PriceMigrationId
    object: Literal["price_migration"]
    status: Annotated[str, STATUSES]
    from_price_id: c.PriceId | None
    from_plan_id: c.PlanId | None
    to_price_id: c.PriceId
    filters: MigrationFilters
    when: Annotated[str, open_enum("now", "renewal", "at")]
    at: At | None
    settlement: Annotated[
        str | None,
        open_enum("invoice_now", "next_invoice", "reset", "reset_without_credit", "none"),
    ]
    estimate: Annotated[
        Estimate | None, Field(description="What it would do, had it been made at once.")
    ]
    total: int
    moved: int
    failed: int
    pending: int
    metadata: Documents
    created_at: At
    started_at: At | None
    completed_at: At | None
    canceled_at: At | None
    version: Version


class PriceMigrationItem(Output):
    """What became of one subscription; of one that waits, what would."""

    id: c.SubscriptionId
    object: Literal["price_migration_item"]
    price_migration_id: c.PriceMigrationId
    subscription_id: c.SubscriptionId
    subscription: Subscription | None = c.Expanded
    status: Annotated[str, open_enum("pending", "moved", "failed")]
    code: Annotated[str | None, Field(description="Why it cannot be moved.")]
    reason: str | None
    currency: c.Currency
    before_amount: MinorUnits | None
    after_amount: MinorUnits | None
    credited: MinorUnits | None
    charged: MinorUnits | None
    done_at: At | None


class PriceMigrationList(ListOf[PriceMigration]):
    pass


class PriceMigrationItemList(ListOf[PriceMigrationItem]):
    pass


class PriceMigrationsQuery(Created):
    status: Status | None = None


class PriceMigrationItemsQuery(Listing):
    status: ItemStatus | None = None
    code: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    cannot_move: Annotated[bool | None, Field(description="Those with a reason why not.")] = None


@router.post(
    "", operation_id="create_price_migration", status_code=201, response_model=PriceMigration
)
async def create_price_migration(ask: Asked, body: PriceMigrationCreate) -> Response:
    """Write down whom a migration is about, and work out what it would do. Nothing is moved.

    It is `ready` when all are looked at: at once where they are few.
    """
    made = await price_migrations.create(ask.rt, ask.caller, body.command())
    return await ask.present(PRICE_MIGRATION, made, 201)


@router.get("", operation_id="list_price_migrations", response_model=PriceMigrationList)
async def list_price_migrations(
    ask: Asked, query: Annotated[PriceMigrationsQuery, Query()]
) -> Response:
    """List price migrations, the newest first."""
    return await ask.page(PRICE_MIGRATION, query)


@router.get(
    "/{price_migration_id}", operation_id="get_price_migration", response_model=PriceMigration
)
async def get_price_migration(ask: Asked, price_migration_id: c.PriceMigrationRef) -> Response:
    """Get a price migration: its estimate, and how far it is."""
    return await ask.one(PRICE_MIGRATION, price_migration_id)


@router.get(
    "/{price_migration_id}/items",
    operation_id="list_price_migration_items",
    response_model=PriceMigrationItemList,
)
async def list_price_migration_items(
    ask: Asked,
    price_migration_id: c.PriceMigrationRef,
    query: Annotated[PriceMigrationItemsQuery, Query()],
) -> Response:
    """List the subscriptions of a price migration, with what became or would become of each."""
    await lookup.one(ask.rt, ask.caller, PRICE_MIGRATION, price_migration_id)
    return await ask.page(PRICE_MIGRATION_ITEM, query, {"price_migration_id": price_migration_id})


@router.post(
    "/{price_migration_id}/execute",
    operation_id="execute_price_migration",
    response_model=PriceMigration,
)
async def execute_price_migration(ask: Asked, price_migration_id: c.PriceMigrationRef) -> Response:
    """Carry out a price migration that is ready. Read how far it is; cancel it to stop it."""
    row = await price_migrations.execute(ask.rt, ask.caller, price_migration_id)
    return ask.shown(PRICE_MIGRATION, row)


@router.post(
    "/{price_migration_id}/cancel",
    operation_id="cancel_price_migration",
    response_model=PriceMigration,
)
async def cancel_price_migration(ask: Asked, price_migration_id: c.PriceMigrationRef) -> Response:
    """Stop a price migration where it is: what is moved stays moved."""
    row = await price_migrations.cancel(ask.rt, ask.caller, price_migration_id)
    return ask.shown(PRICE_MIGRATION, row)
