"""/v1/meters and /v1/usage_events: telling usage, reading it back, and whose it is."""

import pytest

from tests.api.conftest import NOW

pytestmark = pytest.mark.anyio

AT = NOW.isoformat().replace("+00:00", "Z")


@pytest.fixture
async def meter(api) -> dict:
    return await api.new("meters", name="Requests", event_name="request", aggregation="sum")


@pytest.fixture
async def customer(api) -> str:
    return (await api.new("customers", external_id="ada"))["id"]


def event(id: str, customer: str, value: object = 5, **more) -> dict:
    body = {"id": id, "event_name": "request", "customer_id": customer}
    return body | {"properties": {"value": value}} | more


async def test_a_meter_says_how_it_measures_and_may_be_archived(api) -> None:
    asked = {
        "name": "Users",
        "event_name": "login",
        "aggregation": "unique",
        "unique_key": "user",
        "filters": [{"property": "region", "values": ["eu", 7, True]}],
        "metadata": {"team": "blue"},
    }
    made = await api.new("meters", **asked)
    assert made == asked | {
        "id": made["id"],
        "object": "meter",
        "value_key": "value",
        "created_at": AT,
        "archived_at": None,
        "version": 1,
    }
    assert (await api.get(f"/v1/meters/{made['id']}")).json() == made
    change = {"name": "People", "archived": True, "metadata": {"team": None}}
    changed = (await api.patch(f"/v1/meters/{made['id']}", change)).json()
    assert changed == made | {"name": "People", "archived_at": AT, "metadata": {}, "version": 2}
    stale = {"If-Match": '"1"'}
    await api.patch(f"/v1/meters/{made['id']}", {"archived": False}, 412, headers=stale)
    again = (await api.patch(f"/v1/meters/{made['id']}", {"archived": False})).json()
    assert again["archived_at"] is None


async def test_lists_of_meters_are_filtered(api, meter) -> None:
    other = await api.new("meters", name="Logins", event_name="login", aggregation="count")
    await api.patch(f"/v1/meters/{other['id']}", {"archived": True})
    for query, ids in (
        ({"archived": "false"}, [meter["id"]]),
        ({"archived": "true"}, [other["id"]]),
        ({"event_name": "login"}, [other["id"]]),
        ({}, [other["id"], meter["id"]]),
    ):
        found = (await api.get("/v1/meters", params=query)).json()["data"]
        assert [one["id"] for one in found] == ids


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"aggregation": "average"}, "aggregation"),
        ({"aggregation": "unique"}, "unique_key"),
        ({"unique_key": "user"}, "unique_key"),
        ({"filters": [{"property": "a", "values": []}]}, "filters[0].values"),
        ({"filters": [{"property": "a", "values": [1]}] * 2}, "filters"),
        ({"event_name": ""}, "event_name"),
        ({"unit": "kB"}, "unit"),
    ],
)
async def test_a_meter_that_makes_no_sense_is_refused(api, change: dict, param: str) -> None:
    sound = {"name": "Requests", "event_name": "request", "aggregation": "sum"}
    refused = (await api.post("/v1/meters", sound | change, 422)).json()
    assert refused["param"] == param


async def test_two_active_meters_do_not_take_the_same_events(api, meter) -> None:
    again = {"name": "Requests", "event_name": "request", "aggregation": "count"}
    refused = (await api.post("/v1/meters", again, 409)).json()
    assert (refused["code"], refused["param"]) == ("event_name_taken", "event_name")


async def test_how_a_meter_measures_cannot_be_changed(api, meter) -> None:
    for change in ({"aggregation": "max"}, {"event_name": "other"}, {"filters": []}):
        refused = await api.patch(f"/v1/meters/{meter['id']}", change, 422)
        assert refused.json()["errors"][0]["code"] == "unknown_parameter"


async def test_one_event_is_told_and_read_back(api, meter, customer) -> None:
    told = event("e1", customer, timestamp="2030-01-31T11:00:00Z")
    made = (await api.post("/v1/usage_events", told)).json()
    assert made == {
        "id": "e1",
        "object": "usage_event",
        "meter_id": meter["id"],
        "event_name": "request",
        "customer_id": customer,
        "subscription_id": None,
        "timestamp": "2030-01-31T11:00:00Z",
        "properties": {"value": 5},
        "value": 5,
        "reverses": None,
        "reversed_by": None,
        "received_at": AT,
    }
    assert (await api.post("/v1/usage_events", told)).json() == made
    reused = (await api.post("/v1/usage_events", told | {"properties": {"value": 6}}, 409)).json()
    assert (reused["code"], reused["param"]) == ("event_id_reused", "id")
    assert (await api.get("/v1/usage_events")).json()["data"] == [made]


async def test_an_idempotency_key_changes_nothing_about_that(api, meter, customer) -> None:
    key = {"Idempotency-Key": "k"}
    first = await api.post("/v1/usage_events", event("e1", customer), headers=key)
    again = await api.post("/v1/usage_events", event("e1", customer), headers=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


async def test_a_batch_says_of_each_event_what_became_of_it(api, meter, customer) -> None:
    await api.post("/v1/usage_events", event("known", customer))
    batch = {
        "events": [
            event("known", customer),
            event("new", customer),
            event("half", customer, "0.5"),
            {"id": "back", "reverses": "new"},
            {"id": "named", "event_name": "request", "customer_external_id": "ada"},
        ]
    }
    answer = (await api.post("/v1/usage_events/batch", batch, 200)).json()
    assert answer["accepted"] == ["new", "back"]
    assert answer["duplicates"] == ["known"]
    assert [(r["id"], r["code"], r["param"]) for r in answer["refused"]] == [
        ("half", "value_not_whole", "properties.value"),
        ("named", "value_missing", "properties.value"),
    ]
    again = (await api.post("/v1/usage_events/batch", batch, 200)).json()
    assert (again["accepted"], again["duplicates"]) == ([], ["known", "new", "back"])
    listed = {e["id"]: e for e in (await api.get("/v1/usage_events")).json()["data"]}
    assert listed["new"]["reversed_by"] == "back"
    assert (listed["back"]["reverses"], listed["back"]["value"]) == ("new", None)


@pytest.mark.parametrize(
    ("told", "code", "param"),
    [
        ({"customer_id": None}, "customer_required", "customer_id"),
        ({"customer_external_id": "ada"}, "customer_required", "customer_id"),
        ({"event_name": "reqest"}, "meter_not_found", "event_name"),
        ({"timestamp": "2029-12-31T11:59:59Z"}, "timestamp_too_old", "timestamp"),
        ({"timestamp": "2030-01-31T12:05:01Z"}, "timestamp_in_future", "timestamp"),
        ({"properties": {"value": -1}}, None, None),
        ({"properties": {"value": 10**15 + 1}}, "value_too_large", "properties.value"),
        ({"properties": {"value": True}}, "value_not_whole", "properties.value"),
        ({"properties": {"value": 1.5}}, "invalid_number", "properties.value"),
        ({"properties": {"value": [1]}}, "invalid_request", "properties.value"),
        ({"id": ""}, "invalid_request", "id"),
        ({"reverses": "x"}, "invalid_request", None),
        ({"value": 1}, "invalid_request", "value"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused(
    api, meter, customer, told: dict, code: str | None, param: str | None
) -> None:
    body = {k: v for k, v in (event("e1", customer) | told).items() if v is not None}
    answer = (await api.post("/v1/usage_events", body, 422 if code else 201)).json()
    if code is not None:
        assert answer["code"] == code
        assert (answer["param"] or "").startswith(param or "")


async def test_a_batch_has_its_limits(api, meter, customer) -> None:
    events = [event(f"e{n}", customer) for n in range(1_001)]
    refused = (await api.post("/v1/usage_events/batch", {"events": events}, 422)).json()
    assert refused["param"] == "events"
    await api.post("/v1/usage_events/batch", {"events": []}, 422)
    answer = (await api.post("/v1/usage_events/batch", {"events": events[:-1]}, 200)).json()
    assert len(answer["accepted"]) == 1_000


async def test_lists_of_events_are_filtered_paged_and_expanded(api, rt, meter, customer) -> None:
    other = (await api.new("customers"))["id"]
    for n in range(3):
        await api.new(
            "usage_events", **event(f"e{n}", customer, timestamp=f"2030-01-3{n % 2}T00:00:00Z")
        )
    await api.new("usage_events", **event("o", other))

    async def ids(**params) -> list[str]:
        found = (await api.get("/v1/usage_events", params=params)).json()
        return [one["id"] for one in found["data"]]

    assert await ids(customer_id=customer) == ["e2", "e1", "e0"]
    assert await ids(id="e1") == ["e1"]
    assert await ids(meter_id=meter["id"], timestamp_gte="2030-01-31T00:00:00Z") == ["o", "e1"]
    assert await ids(timestamp_lt="2030-01-31T00:00:00Z") == ["e2", "e0"]
    first = (await api.get("/v1/usage_events?limit=3&expand=customer,meter")).json()
    assert [e["id"] for e in first["data"]] == ["o", "e2", "e1"]
    assert first["data"][0]["customer"]["id"] == other
    assert first["data"][0]["meter"] == meter
    rest = (await api.get(f"/v1/usage_events?cursor={first['next_cursor']}")).json()
    assert ([e["id"] for e in rest["data"]], rest["has_more"]) == (["e0"], False)


async def test_usage_of_a_meter_is_read_in_steps(api, meter, customer) -> None:
    for n, hour in enumerate((0, 0, 11)):
        at = f"2030-01-30T{hour:02}:30:00Z"
        await api.new("usage_events", **event(f"e{n}", customer, timestamp=at))
    path = f"/v1/meters/{meter['id']}/usage"
    span = {"start": "2030-01-30T00:00:00Z", "end": "2030-01-31T00:00:00Z", "granularity": "hour"}
    found = (await api.get(path, params=span | {"customer_id": customer})).json()
    assert (found["quantity"], found["events"], len(found["steps"])) == (15, 3, 24)
    assert found["steps"][11] == {
        "start": "2030-01-30T11:00:00Z",
        "end": "2030-01-30T12:00:00Z",
        "quantity": 5,
        "events": 1,
    }
    whole = (await api.get(path)).json()  # this month, day by day
    assert (whole["start"], len(whole["steps"]), whole["steps"][29]["quantity"]) == (
        "2030-01-01T00:00:00Z",
        31,
        15,
    )
    for wrong, param in (
        ({"start": span["end"], "end": span["start"]}, "start"),
        ({"start": "2020-01-01T00:00:00Z", "granularity": "hour"}, "granularity"),
        ({"granularity": "second"}, "granularity"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ):
        assert (await api.get(path, 422, params=wrong)).json()["param"] == param


async def test_another_merchant_s_usage_is_out_of_reach(api, other, meter, customer) -> None:
    before = "2030-01-31T11:59:59Z"
    await api.new("usage_events", **event("e1", customer, timestamp=before))
    theirs = await other.new("meters", name="Mine", event_name="request", aggregation="sum")
    await other.get(f"/v1/meters/{meter['id']}", 404)
    await other.get(f"/v1/meters/{meter['id']}/usage", 404)
    await other.patch(f"/v1/meters/{meter['id']}", {"archived": True}, 404)
    assert (await other.get("/v1/usage_events")).json()["data"] == []
    assert (await other.get(f"/v1/usage_events?customer_id={customer}")).json()["data"] == []
    batch = {
        "events": [
            event("x", customer),
            {"id": "y", "reverses": "e1"},
            {"id": "z", "event_name": "request", "customer_external_id": "ada"},
        ]
    }
    answer = (await other.post("/v1/usage_events/batch", batch, 200)).json()
    assert [refused["code"] for refused in answer["refused"]] == [
        "customer_not_found",
        "event_not_found",
        "customer_not_found",
    ]
    own = (await other.new("customers"))["id"]
    await other.new("usage_events", **event("e1", own, 7))  # their id says nothing about ours
    read = await other.get(f"/v1/meters/{theirs['id']}/usage", params={"customer_id": customer})
    assert read.json()["quantity"] == 0
    assert (await api.get(f"/v1/meters/{meter['id']}/usage")).json()["quantity"] == 5


async def test_a_key_needs_the_scope(api, meter, customer) -> None:
    key = await api.new("api_keys", scopes=["usage_events:read"])
    headers = {"Authorization": f"Bearer {key['secret']}"}
    await api.get("/v1/usage_events", headers=headers)
    await api.post("/v1/usage_events", event("e1", customer), 403, headers=headers)
    await api.get("/v1/meters", 403, headers=headers)
