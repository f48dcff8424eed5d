"""Lists: every object once, in order, whatever the page size, while others come and go."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.anyio


async def walk(api, path: str, **params) -> list[dict]:
    """Every object of a list, page by page."""
    found, cursor = [], None
    while True:
        query = params | ({"cursor": cursor} if cursor else {})
        page = (await api.get(path, params=query)).json()
        assert set(page) == {"object", "data", "has_more", "next_cursor"}
        assert page["has_more"] == (page["next_cursor"] is not None)
        assert len(page["data"]) <= int(params.get("limit", 20))
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
async def test_pages_together_are_the_whole_list(api, limit: int) -> None:
    made = [(await api.new("customers"))["id"] for _ in range(7)]
    assert [c["id"] for c in await walk(api, "/v1/customers", limit=limit)] == made[::-1]


async def test_what_comes_meanwhile_neither_shifts_nor_repeats(api) -> None:
    made = [(await api.new("customers"))["id"] for _ in range(4)]
    first = (await api.get("/v1/customers?limit=2")).json()
    await api.new("customers")
    await api.call("DELETE", f"/v1/customers/{made[1]}", status=200)
    second = (await api.get("/v1/customers", params={"cursor": first["next_cursor"]})).json()
    assert [c["id"] for c in first["data"]] == [made[3], made[2]]
    assert [c["id"] for c in second["data"]] == [made[0]]


async def test_a_filter_keeps_what_it_says(api) -> None:
    await api.new("customers", email="a@b.c")
    bob = await api.new("customers", email="bob@b.c", external_id="bob")
    for query in ({"email": "bob@b.c"}, {"external_id": "bob"}):
        listed = (await api.get("/v1/customers", params=query)).json()["data"]
        assert [customer["id"] for customer in listed] == [bob["id"]]


async def test_moments_of_creation_bound_a_list(api, rt) -> None:
    early = await api.new("customers")
    rt.clock.at = rt.clock.at.replace(month=2, day=1)
    late = await api.new("customers")
    moment = late["created_at"]
    for name, ids in {
        "created_gte": [late["id"]],
        "created_gt": [],
        "created_lte": [late["id"], early["id"]],
        "created_lt": [early["id"]],
    }.items():
        listed = (await api.get("/v1/customers", params={name: moment})).json()["data"]
        assert [customer["id"] for customer in listed] == ids, name


async def test_a_cursor_belongs_to_its_list_and_filter(api) -> None:
    for _ in range(3):
        await api.new("customers", email="a@b.c")
    page = (await api.get("/v1/customers?limit=1&email=a@b.c")).json()
    cursor = page["next_cursor"]
    ok = {"cursor": cursor, "email": "a@b.c", "limit": 2}
    assert len((await api.get("/v1/customers", params=ok)).json()["data"]) == 2
    for path, params in (
        ("/v1/customers", {"cursor": cursor}),
        ("/v1/customers", {"cursor": cursor, "email": "b@b.c"}),
        ("/v1/plans", {"cursor": cursor}),
    ):
        refused = await api.get(path, 422, params=params)
        assert refused.json()["code"] == "invalid_cursor"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cursor=st.text(max_size=70))
async def test_no_made_up_cursor_is_accepted_or_breaks(api, cursor: str) -> None:
    answer = await api.client.get(
        "/v1/customers",
        params={"cursor": cursor.encode("utf-8", "replace")},
        headers={"Authorization": f"Bearer {api.key}"},
    )
    assert answer.status_code == 422


async def test_events_can_be_followed_from_the_last_one_seen(api) -> None:
    for _ in range(5):
        await api.new("customers")
    newest_first = (await api.get("/v1/events")).json()["data"]
    seen = newest_first[-1]["id"]
    first = (await api.get(f"/v1/events?after={seen}&limit=3")).json()
    assert [e["id"] for e in first["data"]] == [e["id"] for e in newest_first[-2:-5:-1]]
    assert [e["sequence"] for e in first["data"]] == [2, 3, 4]
    assert first["has_more"]
    last = first["data"][-1]["id"]
    rest = (await api.get(f"/v1/events?after={last}&type=customer.created")).json()
    assert [e["id"] for e in rest["data"]] == [newest_first[0]["id"]]
    assert not rest["has_more"]


async def test_events_can_be_followed_by_their_numbers_from_the_first(api, other) -> None:
    await other.new("customers")
    for _ in range(3):
        await api.new("customers")
    found = (await api.get("/v1/events?after_sequence=0")).json()["data"]
    assert [event["sequence"] for event in found] == [1, 2, 3]
    assert (await api.get(f"/v1/events/{found[1]['id']}")).json() == found[1]
    rest = (await api.get("/v1/events?after_sequence=2&limit=5")).json()
    assert [event["sequence"] for event in rest["data"]] == [3]
    assert (await api.get("/v1/events?after_sequence=3")).json()["data"] == []


async def test_an_event_that_is_not_numbered_yet_has_no_sequence(api) -> None:
    await api.new("customers")
    [event] = (await api.get("/v1/events")).json()["data"]
    assert event["sequence"] is None
    await api.get("/v1/events?after_sequence=0")
    assert (await api.get(f"/v1/events/{event['id']}")).json()["sequence"] == 1


async def test_what_cannot_be_followed_is_refused(api, other) -> None:
    await other.new("customers")
    [theirs] = (await other.get("/v1/events")).json()["data"]
    for query in (
        f"after={theirs['id']}",
        f"after={theirs['id']}&after_sequence=1",
        "after_sequence=-1",
        "after_sequence=1&object_id=cus_1",
    ):
        await api.get(f"/v1/events?{query}", status=422)
