"""Customers through the API: created, read, changed, deleted, and the events they leave."""

import pytest

pytestmark = pytest.mark.anyio


async def test_a_customer_comes_back_as_it_was_sent(api) -> None:
    sent = {
        "external_id": "user-1",
        "email": "ada@example.com",
        "name": "Ada",
        "address": {"city": "Berlin", "country": "DE"},
        "time_zone": "Europe/Berlin",
        "metadata": {"team": "blue"},
    }
    made = (await api.post("/v1/customers", sent)).json()
    read = (await api.get(f"/v1/customers/{made['id']}")).json()
    assert read == made
    assert made["id"].startswith("cus_")
    assert made["object"] == "customer"
    assert made["address"] == {
        "line1": None,
        "line2": None,
        "city": "Berlin",
        "state": None,
        "postal_code": None,
        "country": "DE",
    }
    assert {name: made[name] for name in ("external_id", "email", "name", "metadata")} == {
        name: sent[name] for name in ("external_id", "email", "name", "metadata")
    }
    assert made["created_at"] == "2030-01-31T12:00:00Z"
    assert made["balances"] == []


async def test_a_change_leaves_unsent_fields_and_merges_metadata(api) -> None:
    made = await api.new("customers", name="Ada", email="a@b.c", metadata={"a": "1", "b": "2"})
    changed = (
        await api.patch(
            f"/v1/customers/{made['id']}", {"email": None, "metadata": {"b": None, "c": "3"}}
        )
    ).json()
    assert changed["name"] == "Ada"
    assert changed["email"] is None
    assert changed["metadata"] == {"a": "1", "c": "3"}
    assert changed["version"] == 2


async def test_if_match_refuses_to_overwrite_what_was_not_seen(api) -> None:
    made = await api.post("/v1/customers", {"name": "Ada"})
    path = f"/v1/customers/{made.json()['id']}"
    seen = {"If-Match": made.headers["ETag"]}
    await api.patch(path, {"name": "Countess"}, headers=seen)
    refused = await api.patch(path, {"name": "Lovelace"}, status=412, headers=seen)
    assert refused.json()["code"] == "stale"
    for never in ('W/"2"', "nonsense", '"99999999999999999999"'):
        await api.patch(path, {"name": "X"}, status=412, headers={"If-Match": never})
    assert (await api.get(path)).json()["name"] == "Countess"


async def test_if_none_match_answers_304_until_it_changes(api) -> None:
    made = await api.new("customers", name="Ada")
    path = f"/v1/customers/{made['id']}"
    tag = (await api.get(path)).headers["ETag"]
    unchanged = await api.get(path, 304, headers={"If-None-Match": f'"x", W/{tag}'})
    assert unchanged.content == b""
    await api.patch(path, {"name": "Countess"})
    await api.get(path, 200, headers={"If-None-Match": tag})


async def test_a_deleted_customer_is_nameless_and_not_listed(api) -> None:
    made = await api.new("customers", name="Ada", email="a@b.c", external_id="user-1")
    path = f"/v1/customers/{made['id']}"
    gone = (await api.call("DELETE", path, status=200)).json()
    assert gone["deleted_at"] is not None
    assert (gone["name"], gone["email"], gone["external_id"]) == (None, None, None)
    assert (await api.get("/v1/customers")).json()["data"] == []
    await api.patch(path, {"name": "Back"}, status=404)
    await api.new("customers", external_id="user-1")  # free again


async def test_an_external_id_is_taken_once(api, other) -> None:
    await api.new("customers", external_id="user-1")
    refused = (await api.post("/v1/customers", {"external_id": "user-1"}, status=409)).json()
    assert (refused["code"], refused["param"]) == ("external_id_taken", "external_id")
    await other.new("customers", external_id="user-1")


async def test_each_change_is_an_event_with_what_was_before(api) -> None:
    made = await api.new("customers", name="Ada", metadata={"a": "1"})
    await api.patch(f"/v1/customers/{made['id']}", {"name": "Countess"})
    changed, created = (await api.get("/v1/events")).json()["data"]
    assert (created["type"], created["object_id"]) == ("customer.created", made["id"])
    assert created["data"]["object"] == made
    assert changed["data"]["object"]["name"] == "Countess"
    assert changed["data"]["object"]["metadata"] == {"a": "1"}
    assert changed["data"]["previous_attributes"] == {"name": "Ada"}
    assert (await api.get(f"/v1/events/{changed['id']}")).json() == changed


async def test_credit_is_granted_taken_back_and_never_below_zero(api) -> None:
    made = await api.new("customers")
    path = f"/v1/customers/{made['id']}"
    moves = f"{path}/balance_transactions"
    granted = (await api.post(moves, {"amount": 500, "currency": "EUR"})).json()
    assert (granted["amount"], granted["ending_balance"]) == (500, 500)
    taken = (await api.post(moves, {"amount": -200, "currency": "EUR"})).json()
    assert taken["ending_balance"] == 300
    refused = await api.post(moves, {"amount": -301, "currency": "EUR"}, status=422)
    assert refused.json()["param"] == "amount"
    await api.post(moves, {"amount": 1, "currency": "JPY"})
    read = (await api.get(path)).json()
    assert read["balances"] == [
        {"currency": "EUR", "amount": 300},
        {"currency": "JPY", "amount": 1},
    ]
    assert len((await api.get(moves)).json()["data"]) == 3
    books = (await api.get("/v1/ledger/trial_balance")).json()
    assert books["balanced"]
    credit = [a for a in books["accounts"] if a["account"] == "customer_credit"]
    assert [(a["currency"], a["balance"]) for a in credit] == [("EUR", -300), ("JPY", -1)]
    entries = (await api.get("/v1/ledger/entries", params={"currency": "EUR"})).json()["data"]
    assert {entry["source_id"] for entry in entries} == {granted["id"], taken["id"]}


async def test_the_default_payment_method_must_be_the_customers_own(api) -> None:
    ada, bob = await api.new("customers"), await api.new("customers")
    bobs = await api.new("payment_methods", customer_id=bob["id"], gateway_reference="pm_sim_ok")
    refused = await api.patch(
        f"/v1/customers/{ada['id']}", {"default_payment_method_id": bobs["id"]}, status=422
    )
    assert refused.json()["param"] == "default_payment_method_id"


async def test_expanding_puts_the_object_beside_its_identifier(api) -> None:
    ada = await api.new("customers", name="Ada")
    card = await api.new(
        "payment_methods",
        customer_id=ada["id"],
        gateway_reference="pm_sim_ok",
        brand="visa",
        last_four="4242",
        expiry_month=12,
        expiry_year=2031,
        make_default=True,
    )
    read = (await api.get(f"/v1/customers/{ada['id']}?expand=default_payment_method")).json()
    assert read["default_payment_method_id"] == card["id"]
    assert read["default_payment_method"] == card
    listed = (await api.get("/v1/payment_methods?expand=customer,gateway_account")).json()
    assert listed["data"][0]["customer"]["name"] == "Ada"
    assert listed["data"][0]["gateway_account"]["gateway"] == "simulator"
    refused = await api.get(f"/v1/customers/{ada['id']}?expand=secrets", 422)
    assert refused.json()["code"] == "not_expandable"
