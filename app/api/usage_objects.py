"""What callers get of meters, and the words that meters and usage events share."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from app.api import common as c
from app.api.common import At, Input, Output, Version, open_enum
from app.domain.metering import Aggregation

FILTER_VALUES_MAX = 50
PropertyName = Annotated[str, Field(min_length=1, max_length=100, examples=["region"])]
PropertyValue = StrictBool | StrictInt | Annotated[str, Field(max_length=500)]
EventName = Annotated[str, Field(min_length=1, max_length=100, examples=["api_request"])]
Quantity = Annotated[int, Field(description="In the meter's own unit.", examples=[1200])]


class MeterFilter(Input):
    """Counts only events whose property is one of these values."""

    property: PropertyName
    values: Annotated[
        list[PropertyValue],
        Field(min_length=1, max_length=FILTER_VALUES_MAX, examples=[["eu", "us"]]),
    ]


class Meter(Output):
    id: c.MeterId
    object: Literal["meter"]
    name: c.Name
    event_name: EventName
    aggregation: Annotated[str, open_enum(*Aggregation)]
    value_key: PropertyName
    unique_key: PropertyName | None
    filters: list[MeterFilter]
    metadata: c.Metadata
    created_at: At
    archived_at: At | None
    version: Version
