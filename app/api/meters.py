"""/v1/meters: what is measured, and what was used."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from app.api import common as c
from app.api.answers import answer
from app.api.common import At, Change, Flag, Input, ListOf, Output, open_enum
from app.api.endpoint import Asked, Endpoint
from app.api.pages import Created
from app.api.usage_objects import EventName, Meter, MeterFilter, PropertyName, Quantity
from app.db.views import METER
from app.domain.metering import FILTERS_MAX, Aggregation, Filter, Granularity
from app.ids import show
from app.services import meters
from app.services.meters import CreateMeter, MeterUsage, ReadUsage, UpdateMeter

router = APIRouter(prefix="/v1/meters", tags=["meters"], route_class=Endpoint)


class MeterCreate(Input):
    """How a meter measures never changes, for what it measured was billed: make another."""

    name: c.Name
    event_name: Annotated[
        EventName, Field(description="Which events it takes; one active meter takes each.")
    ]
    aggregation: Annotated[
        Aggregation,
        Field(
            description="What a period's events amount to: the sum of their values, how many there "
            "are, the greatest value, the value of the latest, or how many different things they "
            "name under `unique_key`."
        ),
    ]
    value_key: Annotated[
        PropertyName,
        Field(
            description="The property that is the value: a whole number, so measure in a unit "
            "small enough that it is."
        ),
    ] = "value"
    unique_key: Annotated[
        PropertyName | None, Field(description="The property whose values are counted once each.")
    ] = None
    filters: Annotated[
        list[MeterFilter],
        Field(max_length=FILTERS_MAX, description="Events count that pass all of them."),
    ] = Field(default_factory=list)
    metadata: c.Metadata = Field(default_factory=dict)

    def command(self) -> CreateMeter:
        fields: dict[str, Any] = dict(self)
        fields["filters"] = tuple(Filter(f.property, tuple(f.values)) for f in self.filters)
        return CreateMeter(**fields)


class MeterUpdate(Change):
    name: c.Name = ""
    archived: Annotated[
        Flag,
        Field(
            description="An archived meter takes no more events; what it took is billed all the "
            "same."
        ),
    ] = False
    metadata: c.MetadataChange = Field(default_factory=dict)


class MeterList(ListOf[Meter]):
    pass


class MetersQuery(Created):
    event_name: EventName | None = None
    archived: bool | None = None


class UsageStep(Output):
    start: At
    end: At
    quantity: Quantity
    events: Annotated[int, Field(description="How many events count.", examples=[3])]


class MeterUsageSeries(Output):
    """The steps adjoin; the first and the last may be shorter than the others."""

    object: Literal["meter_usage"]
    meter_id: c.MeterId
    customer_id: c.CustomerId | None
    granularity: Annotated[str, open_enum(*Granularity)]
    time_zone: c.TimeZone
    start: At
    end: At
    quantity: Annotated[
        Quantity,
        Field(description="Over all of it; only for sums and counts what the steps add up to."),
    ]
    events: int
    steps: list[UsageStep]


class UsageQuery(Input):
    customer_id: c.CustomerRef | None = None
    start: Annotated[
        c.Instant | None, Field(description="Inclusive. Absent: where the month of `end` began.")
    ] = None
    end: Annotated[c.Instant | None, Field(description="Exclusive. Absent: now.")] = None
    granularity: Granularity = Granularity.DAY
    time_zone: Annotated[c.TimeZone, Field(description="Whose days and months.")] = "UTC"


@router.post("", operation_id="create_meter", status_code=201, response_model=Meter)
async def create_meter(ask: Asked, body: MeterCreate) -> Response:
    """Create a meter."""
    row = await meters.create(ask.rt, ask.caller, body.command())
    return ask.shown(METER, row, 201)


@router.get("", operation_id="list_meters", response_model=MeterList)
async def list_meters(ask: Asked, query: Annotated[MetersQuery, Query()]) -> Response:
    """List meters, the newest first."""
    return await ask.page(METER, query)


@router.get("/{meter_id}", operation_id="get_meter", response_model=Meter)
async def get_meter(ask: Asked, meter_id: c.MeterRef) -> Response:
    """Get a meter."""
    return await ask.one(METER, meter_id)


@router.patch("/{meter_id}", operation_id="update_meter", response_model=Meter)
async def update_meter(ask: Asked, meter_id: c.MeterRef, body: MeterUpdate) -> Response:
    """Rename a meter, archive it or take it up again."""
    cmd = UpdateMeter(meter_id, body.model_dump(exclude_unset=True), ask.expected_version())
    return ask.shown(METER, await meters.update(ask.rt, ask.caller, cmd))


@router.get("/{meter_id}/usage", operation_id="get_meter_usage", response_model=MeterUsageSeries)
async def get_meter_usage(
    ask: Asked, meter_id: c.MeterRef, query: Annotated[UsageQuery, Query()]
) -> Response:
    """Get what was used, by one customer or by all, in steps of an hour, a day or a month."""
    cmd = ReadUsage(
        meter_id=meter_id,
        start=query.start,
        end=query.end,
        granularity=query.granularity,
        zone=query.time_zone,
        customer_id=query.customer_id,
    )
    return answer(_series(cmd, await meters.read_usage(ask.rt, ask.caller, cmd)))


def _series(asked: ReadUsage, found: MeterUsage) -> dict[str, Any]:
    total = found.series.total
    return {
        "object": "meter_usage",
        "meter_id": show("mtr", asked.meter_id),
        "customer_id": None if asked.customer_id is None else show("cus", asked.customer_id),
        "granularity": asked.granularity,
        "time_zone": asked.zone,
        "start": found.steps[0].start,
        "end": found.steps[-1].end,
        "quantity": total.quantity,
        "events": total.events,
        "steps": [
            {
                "start": step.start,
                "end": step.end,
                "quantity": used.quantity,
                "events": used.events,
            }
            for step, used in zip(found.steps, found.series.steps, strict=True)
        ],
    }
