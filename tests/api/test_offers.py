"""Coupons, promotion codes, discounts of customers and offers over HTTP."""

import re

import pytest

from app.api.body import PUBLIC_BYTES_MAX

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000000000000000000000"


@pytest.fixture
async def publishable(api) -> dict:
    key = await api.new("api_keys", kind="publishable")
    return {"Authorization": f"Bearer {key['secret']}"}


async def coupon(api, **more) -> dict:
    return await api.new("coupons", **{"code": "HI", "name": "Hi", "percent_off": "10"} | more)


async def test_a_coupon_says_all_that_restricts_it(api) -> None:
    plan = await api.new("plans", code="pro", name="Pro")
    sent = {
        "percent_off": None,
        "amount_off": 500,
        "currency": "EUR",
        "currency_options": {"USD": 600, "JPY": 800},
        "plan_ids": [plan["id"]],
        "minimum_amounts": {"EUR": 1000},
        "first_time_only": True,
        "max_redemptions": 100,
        "max_redemptions_per_customer": 1,
        "valid_from": "2030-02-01T00:00:00Z",
        "redeem_by": "2030-03-01T00:00:00Z",
        "applies_to": "plans",
    }
    made = await coupon(api, **sent)
    assert {name: made[name] for name in sent} == sent
    assert made["times_redeemed"] == 0
    assert (await api.get(f"/v1/coupons/{made['id']}")).json() == made
    for event in (await api.get("/v1/events", params={"type": "coupon.created"})).json()["data"]:
        assert event["data"]["object"] == made


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"fixed_price": 500, "currency": "EUR"}, "percent_off"),
        ({"currency": "EUR"}, "currency"),
        ({"percent_off": None, "fixed_price": 500}, "currency"),
        ({"currency_options": {"EUR": 5}}, "currency_options"),
        ({"minimum_amounts": {"EUR": 0}}, "minimum_amounts"),
        ({"redeem_by": "2029-01-01T00:00:00Z"}, "redeem_by"),
        ({"valid_from": "2031-01-02T00:00:00Z", "redeem_by": "2031-01-01T00:00:00Z"}, "redeem_by"),
        ({"plan_ids": [f"plan_{UNKNOWN}"]}, "plan_ids[0]"),
        ({"price_ids": [f"price_{UNKNOWN}"]}, "price_ids[0]"),
        ({"max_redemptions": 0}, "max_redemptions"),
    ],
)
async def test_a_coupon_that_makes_no_sense_is_refused(api, sent, param) -> None:
    body = {"code": "HI", "name": "Hi", "percent_off": "10"} | sent
    answer = (await api.post("/v1/coupons", body, status=422)).json()
    assert answer["param"] == param or answer["errors"][0]["param"] == param


async def test_what_a_coupon_gives_never_changes(api) -> None:
    made = await coupon(api)
    address = f"/v1/coupons/{made['id']}"
    await api.patch(address, {"percent_off": "20"}, status=422)
    changed = (await api.patch(address, {"name": "Hello", "metadata": {"a": "b"}})).json()
    assert (changed["name"], changed["metadata"], changed["version"]) == ("Hello", {"a": "b"}, 2)
    [event] = (await api.get("/v1/events", params={"type": "coupon.updated"})).json()["data"]
    assert event["data"]["previous_attributes"] == {"name": "Hi", "metadata": {}}
    await api.patch(address, {"active": False}, 412, headers={"If-Match": '"1"'})


async def test_a_promotion_code_is_one_word_whatever_its_case(api) -> None:
    hi = await coupon(api)
    made = await api.new("promotion_codes", coupon_id=hi["id"], code="Welcome10")
    assert made["code"] == "WELCOME10"
    again = {"coupon_id": hi["id"], "code": "WELCOME10"}
    assert (await api.post("/v1/promotion_codes", again, 409)).json()["code"] == "code_taken"
    found = await api.get("/v1/promotion_codes", params={"code": "wElCoMe10"})
    assert [row["id"] for row in found.json()["data"]] == [made["id"]]
    # Ended, its word is free; and then it cannot come back.
    await api.patch(f"/v1/promotion_codes/{made['id']}", {"active": False})
    await api.new("promotion_codes", **again)
    await api.patch(f"/v1/promotion_codes/{made['id']}", {"active": True}, status=409)


async def test_codes_that_we_make_up_cannot_be_guessed_or_misread(api) -> None:
    hi = await coupon(api)
    words = {(await api.new("promotion_codes", coupon_id=hi["id"]))["code"] for _ in range(20)}
    assert len(words) == 20
    assert all(re.fullmatch(r"[2-9A-HJKMNP-TV-Z]{10}", word) for word in words)


async def test_checks_have_one_shape(api) -> None:
    hi = await coupon(api)
    await api.new("promotion_codes", coupon_id=hi["id"], code="HELLO", max_redemptions=1)

    async def check(**params) -> dict:
        return (await api.get("/v1/promotion_codes/check", params=params)).json()

    good, bad = await check(code="hello"), await check(code="goodbye")
    assert good.keys() == bad.keys()
    assert (good["valid"], good["reason"]) == (True, None)
    assert good["coupon"]["percent_off"] == "10"
    assert "times_redeemed" not in good["coupon"]
    assert (bad["valid"], bad["reason"]) == (False, "promotion_code_not_found")
    ada = await api.new("customers")
    await api.new(f"customers/{ada['id']}/discounts", promotion_code="hello")
    assert (await check(code="hello"))["reason"] == "promotion_code_exhausted"
    await api.get("/v1/promotion_codes/check", 422)
    odd = await check(code="\u0131" * 50)
    assert odd["reason"] == "promotion_code_not_found"


async def test_a_customer_is_given_a_discount_and_loses_it(api) -> None:
    hi, ada = await coupon(api), await api.new("customers")
    made = await api.new(
        f"customers/{ada['id']}/discounts",
        coupon_id=hi["id"],
        start_at="2030-02-01T00:00:00Z",
        end_at="2030-03-01T00:00:00Z",
    )
    address = f"/v1/customers/{ada['id']}/discounts"
    assert (await api.get(address)).json()["data"] == [made]
    expanded = (await api.get(address, params={"expand": "coupon"})).json()["data"][0]
    assert expanded["coupon"]["times_redeemed"] == 1
    bob = await api.new("customers")
    await api.call("DELETE", f"/v1/customers/{bob['id']}/discounts/{made['id']}", status=404)
    ended = (await api.call("DELETE", f"{address}/{made['id']}", status=200)).json()
    assert ended["ended_at"] is not None
    await api.call("DELETE", f"{address}/{made['id']}", status=404)
    [redeemed] = (await api.get("/v1/redemptions", params={"customer_id": ada["id"]})).json()[
        "data"
    ]
    assert redeemed["coupon_id"] == hi["id"]
    assert (await api.get(f"/v1/redemptions/{redeemed['id']}")).json() == redeemed


async def test_discounts_of_customers_are_asked_for_in_one_way(api) -> None:
    hi, ada = await coupon(api), await api.new("customers")
    address = f"/v1/customers/{ada['id']}/discounts"
    await api.post(address, {}, status=422)
    await api.post(address, {"coupon_id": hi["id"], "promotion_code": "X"}, status=422)
    past = {"coupon_id": hi["id"], "end_at": "2030-01-01T00:00:00Z"}
    assert (await api.post(address, past, status=422)).json()["param"] == "end_at"
    await api.post(f"/v1/customers/cus_{UNKNOWN}/discounts", {"coupon_id": hi["id"]}, status=404)


async def test_an_offer_is_looked_at_and_claimed_from_a_browser(api, client, publishable) -> None:
    hi = await coupon(api)
    offer = await api.new("offers", name="Come back", coupon_id=hi["id"], trial_days=14)
    made = await api.new(f"offers/{offer['id']}/links")
    token = made["token"]
    assert made["last_four"] == token[-4:]
    assert "token" not in (await api.get(f"/v1/offers/{offer['id']}/links")).json()["data"][0]

    gift = (await client.get(f"/v1/offers/redeem/{token}", headers=publishable)).json()
    assert gift["available"]
    assert (gift["trial_days"], gift["coupon"]["percent_off"]) == (14, "10")
    assert "times_redeemed" not in gift["coupon"]
    claimed = await client.post(f"/v1/offers/redeem/{token}", headers=publishable)
    assert claimed.status_code == 201
    assert claimed.json()["offer_token"].startswith("oc_")
    assert claimed.json()["expires_at"] == "2030-01-31T13:00:00Z"
    assert claimed.headers["access-control-allow-origin"] == "*"
    asked = await client.options(f"/v1/offers/redeem/{token}")
    assert asked.headers["access-control-allow-methods"] == "GET, POST"
    assert (await api.get("/v1/redemptions")).json()["data"] == []
    # A publishable key goes no further.
    for path in ("/v1/offers", f"/v1/offers/{offer['id']}", f"/v1/offers/{offer['id']}/links"):
        assert (await client.get(path, headers=publishable)).status_code == 403

    address = f"/v1/offers/{offer['id']}/links/{made['id']}/revoke"
    assert (await api.post(address, status=200)).json()["revoked_at"] is not None
    assert not (await client.get(f"/v1/offers/redeem/{token}", headers=publishable)).json()[
        "available"
    ]
    gone = await client.post(f"/v1/offers/redeem/{token}", headers=publishable)
    assert (gone.status_code, gone.json()["code"]) == (422, "offer_link_inactive")


async def test_a_token_of_another_merchant_s_leads_nowhere(api, other) -> None:
    offer = await api.new("offers", name="Come back", trial_days=14)
    token = (await api.new(f"offers/{offer['id']}/links"))["token"]
    await other.get(f"/v1/offers/redeem/{token}", 404)
    await other.post(f"/v1/offers/redeem/{token}", status=404)
    await api.get(f"/v1/offers/redeem/{token}")
    await api.get("/v1/offers/redeem/%00", 404)
    await api.get("/v1/offers/redeem/" + "x" * 129, 404)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({}, "coupon_id"),
        ({"trial_days": 5, "segment": "on_plan"}, "segment_plan_id"),
        ({"trial_days": 5, "segment": "canceled_within_days"}, "segment_days"),
        ({"trial_days": 5, "segment_days": 5}, "segment_days"),
        ({"trial_days": 5, "end_at": "2029-01-01T00:00:00Z"}, "end_at"),
        ({"trial_days": 5, "customer_ids": [f"cus_{UNKNOWN}"]}, "customer_ids[0]"),
        ({"coupon_id": f"cpn_{UNKNOWN}"}, "coupon_id"),
        ({"price_id": f"price_{UNKNOWN}"}, "price_id"),
    ],
)
async def test_an_offer_that_makes_no_sense_is_refused(api, sent, param) -> None:
    answer = (await api.post("/v1/offers", {"name": "Hi"} | sent, status=422)).json()
    assert answer["param"] == param


async def test_an_offer_is_changed_and_ended(api) -> None:
    offer = await api.new("offers", name="Come back", trial_days=14)
    address = f"/v1/offers/{offer['id']}"
    changed = (await api.patch(address, {"listed": True, "end_at": "2031-01-01T00:00:00Z"})).json()
    assert (changed["listed"], changed["end_at"]) == (True, "2031-01-01T00:00:00Z")
    await api.patch(address, {"trial_days": 20}, status=422)
    assert not (await api.patch(address, {"active": False})).json()["active"]
    gift = (await api.get(f"/v1/offers/redeem/{offer['id']}")).json()
    assert (gift["available"], gift["reason"]) == (False, "offer_inactive")


async def test_a_publishable_key_sends_no_large_body(api, client, publishable) -> None:
    refused = await client.post(
        "/v1/offers/redeem/ol_x", json={"a": "4" * PUBLIC_BYTES_MAX}, headers=publishable
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_a_publishable_key_takes_no_idempotency_key_from_the_backend(
    api, client, publishable
) -> None:
    """Pages are anybody's: whoever guesses the backend's keys must not use them up."""
    offer = await api.new("offers", name="Listed", trial_days=14, listed=True)
    same = {"Idempotency-Key": "order-1"}
    claim = f"/v1/offers/redeem/{offer['id']}"
    first = await client.post(claim, headers=publishable | same)
    assert first.status_code == 201
    wrong = {"Idempotency-Key": "order-2"}
    assert (await client.post(f"{claim}x", headers=publishable | wrong)).status_code == 404
    for headers in (same, wrong):
        made = await api.post("/v1/customers", {"name": "Ada"}, headers=headers, status=201)
        assert "idempotent-replayed" not in made.headers
        again = await api.post("/v1/customers", {"name": "Ada"}, headers=headers, status=201)
        assert again.json() == made.json()
        assert again.headers["idempotent-replayed"] == "true"
