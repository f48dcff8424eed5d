"""Plans, prices, coupons and tax rates: what is accepted, and what comes back, to the digit."""

import pytest

pytestmark = pytest.mark.anyio

MONTHLY = {"currency": "EUR", "interval": "month"}
TIERS = [{"up_to": 100, "unit_amount": 50}, {"unit_amount_decimal": "0.0125", "flat_amount": 7}]

GOOD = {
    "flat": ({"model": "flat", "unit_amount": 1900}, {"unit_amount_decimal": "1900"}),
    "per unit": ({"unit_amount": 500}, {"model": "per_unit", "unit_amount_decimal": "500"}),
    "parts of a cent": ({"unit_amount_decimal": "0.0125"}, {"unit_amount_decimal": "0.0125"}),
    "trailing zeros": ({"unit_amount_decimal": "12.500"}, {"unit_amount_decimal": "12.5"}),
    "free": ({"unit_amount": 0}, {"unit_amount_decimal": "0"}),
    "graduated": (
        {"model": "graduated", "tiers": TIERS},
        {
            "unit_amount_decimal": None,
            "tiers": [
                {"up_to": 100, "unit_amount_decimal": "50", "flat_amount": 0},
                {"up_to": None, "unit_amount_decimal": "0.0125", "flat_amount": 7},
            ],
        },
    ),
    "volume": ({"model": "volume", "tiers": TIERS}, {"model": "volume"}),
    "package": (
        {"model": "package", "package_size": 1000, "unit_amount": 99},
        {"package_size": 1000},
    ),
    "arrears": ({"unit_amount": 1, "timing": "arrears"}, {"timing": "arrears", "meter_id": None}),
    "stairstep": (
        {"model": "stairstep", "tiers": [{"up_to": 9, "flat_amount": 5}, {"flat_amount": 8}]},
        {
            "unit_amount_decimal": None,
            "tiers": [
                {"up_to": 9, "unit_amount_decimal": "0", "flat_amount": 5},
                {"up_to": None, "unit_amount_decimal": "0", "flat_amount": 8},
            ],
        },
    ),
    "one time": (
        {"type": "one_time", "interval": None, "unit_amount": 9900},
        {"type": "one_time", "interval": None, "interval_count": None},
    ),
    "limits": ({"unit_amount": 1, "min_quantity": 5, "max_quantity": 9}, {"max_quantity": 9}),
    "countries": ({"unit_amount": 1, "countries": ["DE", "AT"]}, {"countries": ["AT", "DE"]}),
    "a paid trial": (
        {
            "unit_amount": 1,
            "trial_days": 7,
            "trial_amount": 100,
            "trial_requires_payment_method": True,
            "trial_end_without_payment_method": "pause",
        },
        {
            "trial_amount": 100,
            "trial_requires_payment_method": True,
            "trial_end_without_payment_method": "pause",
        },
    ),
    "fee and trial": (
        {"unit_amount": 1, "setup_fee": 4900, "trial_days": 14},
        {"setup_fee": 4900, "trial_days": 14},
    ),
}
BAD = {
    "no amount": ({}, "unit_amount"),
    "two amounts": ({"unit_amount": 1, "unit_amount_decimal": "1"}, None),
    "negative": ({"unit_amount": -1}, "unit_amount"),
    "an amount as text": ({"unit_amount": "100"}, "unit_amount"),
    "a decimal amount": ({"unit_amount_decimal": "1e3"}, "unit_amount_decimal"),
    "more decimals than are kept": ({"unit_amount_decimal": "0.0000000000001"}, None),
    "tiers of a flat price": ({"model": "flat", "unit_amount": 1, "tiers": TIERS}, "tiers"),
    "no tiers": ({"model": "graduated"}, "tiers"),
    "an amount beside tiers": ({"model": "volume", "tiers": TIERS, "unit_amount": 5}, None),
    "tiers that end": ({"model": "volume", "tiers": TIERS[:1]}, "tiers[0].up_to"),
    "tiers that fall": ({"model": "volume", "tiers": [TIERS[0]] * 2 + TIERS[1:]}, "tiers[1].up_to"),
    "a package without a size": ({"model": "package", "unit_amount": 1}, "package_size"),
    "a size without a package": ({"unit_amount": 1, "package_size": 5}, "package_size"),
    "usage in advance": ({"unit_amount": 1, "usage_type": "metered"}, "timing"),
    "usage of nothing": (
        {"unit_amount": 1, "usage_type": "metered", "timing": "arrears"},
        "meter_id",
    ),
    "stairs with unit prices": ({"model": "stairstep", "tiers": TIERS}, "tiers[0].unit_amount"),
    "a percentage of seats": ({"model": "percentage", "percentage": "1"}, "usage_type"),
    "a percentage of nothing": ({"model": "percentage"}, "percentage"),
    "a percentage beside units": ({"unit_amount": 1, "percentage": "5"}, "percentage"),
    "no interval": ({"unit_amount": 1, "interval": None}, "interval"),
    "once every month": ({"unit_amount": 1, "type": "one_time"}, "interval"),
    "limits that cross": ({"unit_amount": 1, "min_quantity": 5, "max_quantity": 4}, "max_quantity"),
    "no such country": ({"unit_amount": 1, "countries": ["QQ"]}, "countries"),
    "no country at all": ({"unit_amount": 1, "countries": ["de"]}, "countries[0]"),
    "a paid trial of no days": ({"unit_amount": 1, "trial_amount": 5}, "trial_amount"),
    "no such currency": ({"unit_amount": 1, "currency": "XXX"}, "currency"),
    "no such interval": ({"unit_amount": 1, "interval": "decade"}, "interval"),
    "interval too long": ({"unit_amount": 1, "interval_count": 366}, "interval_count"),
    "trial too long": ({"unit_amount": 1, "trial_days": 731}, "trial_days"),
}


@pytest.fixture
async def plan(api) -> dict:
    return await api.new("plans", code="pro", name="Pro")


@pytest.mark.parametrize("case", GOOD)
async def test_a_price_comes_back_to_the_digit(api, plan, case: str) -> None:
    sent, expected = GOOD[case]
    made = await api.new("prices", plan_id=plan["id"], **MONTHLY | sent)
    assert {name: made[name] for name in expected} == expected
    assert (await api.get(f"/v1/prices/{made['id']}")).json() == made


@pytest.mark.parametrize("case", BAD)
async def test_a_price_that_makes_no_sense_is_refused(api, plan, case: str) -> None:
    sent, param = BAD[case]
    body = {"plan_id": plan["id"]} | MONTHLY | sent
    problem = (await api.post("/v1/prices", body, status=422)).json()
    assert param is None or param == problem["param"], problem


async def test_what_a_price_charges_never_changes(api, plan) -> None:
    made = await api.new("prices", plan_id=plan["id"], **MONTHLY, unit_amount=1)
    path = f"/v1/prices/{made['id']}"
    for field, value in {
        "unit_amount": 2,
        "currency": "USD",
        "tiers": [],
        "interval": "day",
    }.items():
        refused = await api.patch(path, {field: value}, status=422)
        assert refused.json()["errors"][0]["code"] == "unknown_parameter"
    assert not (await api.patch(path, {"active": False})).json()["active"]


async def test_a_new_price_is_the_next_version_and_can_take_the_lookup_key(api, plan) -> None:
    body = {"plan_id": plan["id"], "lookup_key": "pro-monthly", "unit_amount": 1} | MONTHLY
    first = await api.new("prices", **body)
    refused = await api.post("/v1/prices", body, status=409)
    assert refused.json()["code"] == "lookup_key_taken"
    second = await api.new("prices", **body, transfer_lookup_key=True)
    yearly = await api.new("prices", **body | {"interval": "year", "lookup_key": None})
    assert [p["price_version"] for p in (first, second, yearly)] == [1, 2, 1]
    found = (await api.get("/v1/prices?lookup_key=pro-monthly&expand=plan")).json()["data"]
    assert [(p["id"], p["plan"]["code"]) for p in found] == [(second["id"], "pro")]


async def test_a_plan_is_changed_as_a_whole_but_for_its_metadata(api, plan) -> None:
    path = f"/v1/plans/{plan['id']}"
    settings = {"upgrade": "period_end"}
    changed = (await api.patch(path, {"billing_settings": settings, "rank": 3})).json()
    assert (changed["billing_settings"], changed["rank"], changed["name"]) == (settings, 3, "Pro")
    assert changed["version"] == 2
    kept = (await api.patch(path, {"metadata": {"a": "1"}})).json()
    assert kept["billing_settings"] == settings
    assert (await api.patch(path, {"billing_settings": {}})).json()["billing_settings"] == {}
    taken = await api.post("/v1/plans", {"code": "pro", "name": "Other"}, status=409)
    assert taken.json()["param"] == "code"
    null = await api.patch(path, {"name": None}, status=422)
    assert null.json()["param"] == "name"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"percent_off": "12.5"}, {"percent_off": "12.5", "amount_off": None}),
        ({"percent_off": "100"}, {"percent_off": "100"}),
        ({"amount_off": 500, "currency": "EUR"}, {"amount_off": 500, "currency": "EUR"}),
        (
            {"percent_off": "1", "duration": "repeating", "duration_in_periods": 3},
            {"duration_in_periods": 3},
        ),
    ],
)
async def test_a_coupon_comes_back_to_the_digit(api, sent, expected) -> None:
    made = await api.new("coupons", code="HI", name="Hi", **sent)
    assert {name: made[name] for name in expected} == expected


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"percent_off": "0"},
        {"percent_off": "100.01"},
        {"percent_off": "12.50001"},
        {"percent_off": 12},
        {"percent_off": "5", "amount_off": 5, "currency": "EUR"},
        {"amount_off": 5},
        {"percent_off": "5", "currency": "EUR"},
        {"percent_off": "5", "duration": "repeating"},
        {"percent_off": "5", "duration_in_periods": 5},
    ],
)
async def test_a_coupon_that_makes_no_sense_is_refused(api, sent) -> None:
    await api.post("/v1/coupons", {"code": "HI", "name": "Hi"} | sent, status=422)


async def test_a_tax_rate_comes_back_to_the_digit(api) -> None:
    made = await api.new("tax_rates", display_name="Sales tax", percentage="8.875", country="US")
    assert made["percentage"] == "8.875"
    await api.post("/v1/tax_rates", {"display_name": "x", "percentage": "100.1"}, status=422)
    changed = await api.patch(f"/v1/tax_rates/{made['id']}", {"active": False})
    assert not changed.json()["active"]


async def test_a_payment_method_is_a_token_and_never_a_card(api) -> None:
    customer = (await api.new("customers"))["id"]
    for field in ("gateway_reference", "brand", "gateway_customer_reference"):
        body = {"customer_id": customer, "gateway_reference": "tok"} | {field: "4242424242424242"}
        refused = await api.post("/v1/payment_methods", body, status=422)
        assert refused.json()["code"] == "card_number_refused"
        assert "4242424242424242" not in refused.text
    made = await api.new(
        "payment_methods",
        customer_id=customer,
        gateway_reference="pm_sim_ok",
        brand="visa",
        last_four="4242",
        expiry_month=1,
        expiry_year=2031,
        make_default=True,
    )
    assert "gateway_reference" not in made
    assert (await api.get(f"/v1/customers/{customer}")).json()["default_payment_method_id"]
    path = f"/v1/payment_methods/{made['id']}"
    changed = (await api.patch(path, {"expiry_year": 2033})).json()
    assert (changed["expiry_month"], changed["expiry_year"]) == (1, 2033)
    assert (await api.post(f"{path}/detach", status=200)).json()["detached_at"] is not None
    assert (await api.get(f"/v1/customers/{customer}")).json()["default_payment_method_id"] is None
    assert (await api.get("/v1/payment_methods")).json()["data"] == []
    await api.post(f"{path}/detach", status=404)
