"""Tax over HTTP: rates, registrations, customers' numbers, and what would be charged."""

import pytest

pytestmark = pytest.mark.anyio

VAT = {"display_name": "VAT", "percentage": "19", "country": "DE"}


async def problem(api, path: str, body: dict, status: int = 422) -> dict:
    return (await api.post(path, body, status=status)).json()


async def calculated(api, **body) -> dict:
    asked = {"currency": "EUR", "lines": [{"amount": 1000}]} | body
    return (await api.post("/v1/tax/calculate", asked, status=200)).json()


@pytest.fixture
async def seller(api):
    """A German merchant in the one-stop shop, with the EU's rates."""
    await api.new("tax_registrations", country="DE", number="DE136695976", home=True)
    await api.new("tax_registrations", country="DE", scheme="oss")
    seeded = (await api.post("/v1/tax/seed")).json()
    assert len(seeded["created"]) == 27
    return api


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_rate_comes_back_with_all_it_says(api) -> None:
    sent = {
        "display_name": "City tax",
        "percentage": "1.25",
        "inclusive": True,
        "type": "sales_tax",
        "country": "US",
        "region": "US-CA",
        "jurisdiction": "San Francisco",
        "level": "city",
        "priority": 3,
        "postal_codes": ["941"],
        "tax_codes": ["saas", "txcd_10103001"],
        "valid_from": "2026-01-01",
        "valid_until": "2027-01-01",
        "metadata": {"a": "b"},
    }
    made = await api.new("tax_rates", **sent)
    assert made | sent == made
    assert (await api.get(f"/v1/tax_rates/{made['id']}")).json() == made


@pytest.mark.parametrize(
    ("sent", "level"),
    [
        ({"country": "DE"}, "country"),
        ({"country": "US", "region": "US-CA"}, "region"),
        ({"country": "PT", "region": "PT-30", "level": "country"}, "country"),
        ({}, "country"),
    ],
)
async def test_the_level_follows_from_the_region_unless_said(api, sent, level) -> None:
    made = await api.new("tax_rates", display_name="VAT", percentage="22", **sent)
    assert made["level"] == level


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"country": "ZZ"}, "country"),
        ({"country": "de"}, "country"),
        ({"country": "MC"}, "country"),
        ({"region": "US-CA"}, "region"),
        ({"country": None, "region": "US-CA"}, "country"),
        ({"region": "DE-BAVARIA"}, "region"),
        ({"level": "city"}, "region"),
        ({"country": None, "postal_codes": ["10"]}, "country"),
        ({"percentage": "100.1"}, "percentage"),
        ({"valid_from": "2026-01-01", "valid_until": "2026-01-01"}, "valid_until"),
        ({"valid_from": "2026-02-30"}, "valid_from"),
        ({"valid_from": 20260101}, "valid_from"),
        ({"valid_from": "1900-01-01"}, "valid_from"),
        ({"priority": 101}, "priority"),
        ({"tax_codes": ["a b"]}, "tax_codes[0]"),
        ({"type": "VAT"}, "type"),
    ],
)
async def test_a_rate_that_makes_no_sense_is_refused(api, change, param) -> None:
    assert (await problem(api, "/v1/tax_rates", VAT | change))["param"] == param


async def test_rates_are_listed_by_where_and_when_and_what(api) -> None:
    old = await api.new("tax_rates", **VAT, valid_until="2020-07-01")
    new = await api.new("tax_rates", **VAT, valid_from="2020-07-01", tax_codes=["book"])
    us = await api.new(
        "tax_rates", display_name="S", percentage="6", country="US", region="US-CA", type="sales"
    )
    for query, expected in [
        ({"country": "DE"}, [new, old]),
        ({"valid_on": "2020-06-30"}, [us, old]),
        ({"valid_on": "2020-07-01"}, [us, new]),
        ({"region": "US-CA"}, [us]),
        ({"type": "sales"}, [us]),
        ({"tax_code": "book"}, [new]),
    ]:
        listed = (await api.get("/v1/tax_rates", params=query)).json()["data"]
        assert [rate["id"] for rate in listed] == [rate["id"] for rate in expected], query


async def test_a_rate_is_ended_and_never_changed(api) -> None:
    made = await api.new("tax_rates", **VAT, valid_from="2026-01-01")
    path = f"/v1/tax_rates/{made['id']}"
    ended = (await api.patch(path, {"valid_until": "2026-07-01"})).json()
    assert (ended["valid_until"], ended["version"]) == ("2026-07-01", 2)
    refused = await api.patch(path, {"valid_until": "2026-01-01"}, status=422)
    assert refused.json()["param"] == "valid_until"
    await api.patch(path, {"percentage": "16"}, status=422)
    await api.patch(path, {"active": False}, status=412, headers={"If-Match": '"1"'})


async def test_the_seed_fills_in_what_is_missing(api) -> None:
    mine = await api.new("tax_rates", display_name="MwSt", percentage="19", country="DE")
    seeded = (await api.post("/v1/tax/seed")).json()
    assert len(seeded["created"]) == 26
    assert mine["country"] not in {rate["country"] for rate in seeded["created"]}
    rates = {rate["country"]: rate["percentage"] for rate in seeded["created"]}
    assert (rates["FI"], rates["EE"], rates["HU"]) == ("25.5", "24", "27")
    assert (await api.post("/v1/tax/seed")).json()["created"] == []


# ── registrations ─────────────────────────────────────────────────────────────────────────────────


async def test_a_registration_lives_and_ends(api) -> None:
    made = await api.new("tax_registrations", country="GB", number="GB980780684")
    path = f"/v1/tax_registrations/{made['id']}"
    assert (made["scheme"], made["home"]) == ("standard", False)
    assert (await api.get(path)).json() == made
    ended = (await api.patch(path, {"valid_until": "2031-01-01"})).json()
    assert ended["valid_until"] == "2031-01-01"
    assert (await api.call("DELETE", path, status=200)).json() == ended
    await api.get(path, 404)
    await api.call("DELETE", path, status=404)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"country": "ZZ"}, "country"),
        ({"country": "US", "scheme": "oss"}, "country"),
        ({"country": "DE", "scheme": "oss", "home": True}, "home"),
        ({"country": "DE", "region": "DE-BY"}, "region"),
        ({"country": "DE", "scheme": "other"}, "scheme"),
        ({}, "country"),
    ],
)
async def test_a_registration_that_makes_no_sense_is_refused(api, sent, param) -> None:
    assert (await problem(api, "/v1/tax_registrations", sent))["param"] == param


# ── customers and their numbers ───────────────────────────────────────────────────────────────────


async def test_a_number_is_checked_and_normalised(api) -> None:
    customer = await api.new("customers", name="Ada GmbH", address={"country": "DE"})
    path = f"/v1/customers/{customer['id']}/tax_ids"
    made = (await api.post(path, {"type": "eu_vat", "value": " de 136 695 976 "})).json()
    assert (made["normalized_value"], made["country"], made["status"]) == (
        "DE136695976",
        "DE",
        "valid_format",
    )
    assert (await api.get(path)).json()["data"] == [made]
    taken = await problem(api, path, {"type": "eu_vat", "value": "DE136695976"}, 409)
    assert taken["code"] == "tax_id_taken"
    gone = await api.call("DELETE", f"{path}/{made['id']}", status=200)
    assert gone.json() == made
    assert (await api.get(path)).json()["data"] == []
    events = (await api.get("/v1/events")).json()["data"]
    assert [event["type"] for event in events][:2] == ["tax_id.deleted", "tax_id.created"]


@pytest.mark.parametrize(
    ("type_", "value", "normal", "country", "status"),
    [
        ("eu_vat", "EL 094014201", "EL094014201", "GR", "valid_format"),
        ("eu_vat", "XI980780684", "XI980780684", "GB", "valid_format"),
        ("gb_vat", "GB 980 7806 84", "980780684", "GB", "valid_format"),
        ("in_gst", "27AAPFU0939F1ZV", "27AAPFU0939F1ZV", "IN", "valid_format"),
        ("us_ein", "91-1144442", "911144442", "US", "valid_format"),
        ("au_abn", "83 914 571 673", "83914571673", "AU", "valid_format"),
        ("ch_vat", "CHE-107.787.577 IVA", "CHE107787577IVA", "CH", "valid_format"),
        ("no_vat", "NO 995 525 828 MVA", "995525828MVA", "NO", "valid_format"),
        ("ae_trn", "100 1234", "100 1234", "AE", "unverified"),
    ],
)
async def test_numbers_of_many_countries(api, type_, value, normal, country, status) -> None:
    customer = await api.new("customers")
    path = f"/v1/customers/{customer['id']}/tax_ids"
    made = (await api.post(path, {"type": type_, "value": value})).json()
    found = (made["normalized_value"], made["country"], made["status"], made["value"])
    assert found == (normal, country, status, value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("eu_vat", "DE136695975"),
        ("eu_vat", "136695976"),
        ("eu_vat", "US911144442"),
        ("eu_vat", "EU372022452"),
        ("eu_vat", "DE"),
        ("eu_vat", "DE136695976漢"),
        ("us_ein", "07-1144442"),
        ("in_gst", "27AAPFU0939F1ZZ"),
        ("gb_vat", "GB980780685"),
    ],
)
async def test_a_number_that_cannot_be_one_is_refused(api, type_, value) -> None:
    customer = await api.new("customers")
    said = await problem(
        api, f"/v1/customers/{customer['id']}/tax_ids", {"type": type_, "value": value}
    )
    assert (said["code"], said["param"]) == ("tax_id_invalid", "value")


async def test_numbers_have_a_type_that_is_known_and_are_not_endless(api) -> None:
    customer = await api.new("customers")
    path = f"/v1/customers/{customer['id']}/tax_ids"
    assert (await problem(api, path, {"type": "xx_vat", "value": "1"}))["param"] == "type"
    for number in range(20):
        await api.post(path, {"type": "ae_trn", "value": f"number {number}"})
    refused = await problem(api, path, {"type": "ae_trn", "value": "one more"}, 409)
    assert refused["code"] == "too_many_tax_ids"


async def test_a_customers_exemption_is_kept_and_forgotten_with_it(api) -> None:
    note = {"tax_exempt": "exempt", "tax_exemption_note": "Certificate 12"}
    customer = await api.new("customers", **note)
    assert customer | note == customer
    path = f"/v1/customers/{customer['id']}"
    await api.post(f"{path}/tax_ids", {"type": "eu_vat", "value": "DE136695976"})
    changed = (await api.patch(path, {"tax_exempt": "reverse"})).json()
    assert (changed["tax_exempt"], changed["tax_exemption_note"]) == ("reverse", "Certificate 12")
    await api.patch(path, {"tax_exempt": "maybe"}, status=422)
    gone = (await api.call("DELETE", path, status=200)).json()
    assert gone["tax_exemption_note"] is None
    assert (await api.get(f"{path}/tax_ids")).json()["data"] == []


# ── what would be charged ─────────────────────────────────────────────────────────────────────────


async def test_a_consumer_abroad_pays_the_rate_of_home(seller) -> None:
    # 20 % of 10.00 in France
    found = await calculated(seller, buyer={"country": "FR"})
    [line] = found["lines"]
    assert (line["treatment"], line["category"], line["country"]) == ("taxable", "S", "FR")
    assert [(tax["percentage"], tax["amount"]) for tax in line["taxes"]] == [("20", 200)]
    assert (found["net_total"], found["tax_total"], found["total"]) == (1000, 200, 1200)


async def test_a_business_abroad_accounts_for_the_tax_itself(seller) -> None:
    number = {"type": "eu_vat", "value": "FR40303265045"}
    found = await calculated(seller, buyer={"country": "FR", "tax_ids": [number]})
    [line] = found["lines"]
    assert (line["treatment"], line["reason"]) == ("reverse_charge", "reverse_charge")
    assert (line["note"], line["category"]) == ("VATEX-EU-AE", "AE")
    [tax] = line["taxes"]
    assert (tax["percentage"], tax["amount"], tax["reason"]) == ("0", 0, "reverse_charge")
    assert found["total"] == 1000


async def test_a_wrong_number_is_refused_here_too(seller) -> None:
    number = {"type": "eu_vat", "value": "FR40303265046"}
    said = await problem(
        seller,
        "/v1/tax/calculate",
        {"currency": "EUR", "lines": [{"amount": 1}]}
        | {"buyer": {"country": "FR", "tax_ids": [number]}},
    )
    assert said["code"] == "tax_id_invalid"


async def test_a_customer_is_judged_by_address_numbers_and_exemption(seller) -> None:
    customer = await seller.new("customers", address={"country": "IT"})
    path = f"/v1/customers/{customer['id']}"

    async def treatment() -> tuple[str, int]:
        found = await calculated(seller, customer_id=customer["id"])
        return found["lines"][0]["treatment"], found["tax_total"]

    assert await treatment() == ("taxable", 220)
    await seller.post(f"{path}/tax_ids", {"type": "eu_vat", "value": "IT00743110157"})
    assert await treatment() == ("reverse_charge", 0)
    await seller.patch(path, {"address": {"country": "DE"}})
    assert await treatment() == ("taxable", 190)
    await seller.patch(path, {"tax_exempt": "exempt"})
    assert await treatment() == ("exempt", 0)
    await seller.patch(path, {"tax_exempt": "none", "address": {"country": "US", "state": "CA"}})
    assert await treatment() == ("outside_scope", 0)
    await seller.patch(path, {"address": {"country": "ES", "postal_code": "35001"}})
    assert await treatment() == ("outside_scope", 0)


async def test_prices_say_whether_tax_is_inside(seller) -> None:
    # 11.90 with 19 % inside is 10.00; 10.00 with it on top is 11.90.
    lines = [
        {"amount": 1190, "tax_behaviour": "inclusive"},
        {"amount": 1000, "tax_behaviour": "exclusive"},
    ]
    found = await calculated(seller, buyer={"country": "DE"}, lines=lines)
    assert [(line["net_amount"], line["tax_amount"]) for line in found["lines"]] == [
        (1000, 190)
    ] * 2
    assert (found["tax_total"], found["tax_added"], found["total"]) == (380, 190, 2380)


async def test_the_rate_is_that_of_the_tax_point(api) -> None:
    await api.new("tax_registrations", country="DE", home=True)
    await api.new("tax_rates", **VAT, valid_until="2020-07-01")
    await api.new("tax_rates", **VAT | {"percentage": "16"}, valid_from="2020-07-01")
    for at, tax in {"2020-06-30T23:00:00Z": 190, "2020-07-01T00:00:00Z": 160}.items():
        assert (await calculated(api, buyer={"country": "DE"}, at=at))["tax_total"] == tax


async def test_without_a_registration_nothing_is_charged(api) -> None:
    await api.new("tax_rates", **VAT)
    found = await calculated(api, buyer={"country": "DE"})
    assert found["lines"][0]["treatment"] == "not_registered"
    assert found["tax_total"] == 0


async def test_tax_that_has_no_rate_is_said_to_be_missing(api) -> None:
    await api.new("tax_registrations", country="DE", home=True)
    found = await calculated(api, buyer={"country": "DE"})
    assert (found["lines"][0]["treatment"], found["lines"][0]["reason"]) == ("taxable", "no_rate")


@pytest.mark.parametrize(
    "change",
    [
        {"buyer": None},
        {"customer_id": "cus_01k9zs8m4vf1xr7c2n5q0d3tyb"},
        {"lines": []},
        {"lines": [{"amount": 10**13}]},
        {"lines": [{"amount": "1"}]},
        {"currency": "XXX"},
        {"buyer": {"country": "XX"}},
        {"at": "yesterday"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(seller, change) -> None:
    body = {"currency": "EUR", "lines": [{"amount": 1}], "buyer": {"country": "DE"}} | change
    await problem(seller, "/v1/tax/calculate", body)


async def test_a_customer_who_is_not_there_is_named(seller) -> None:
    body = {"currency": "EUR", "lines": [{"amount": 1}]}
    stranger = {"customer_id": "cus_01k9zs8m4vf1xr7c2n5q0d3tyb"}
    said = await problem(seller, "/v1/tax/calculate", body | stranger)
    assert (said["code"], said["param"]) == ("reference_not_found", "customer_id")


async def test_an_exempted_merchants_books_do_not_reach_another(seller, other) -> None:
    found = await calculated(other, buyer={"country": "DE"})
    assert found["lines"][0]["treatment"] == "not_registered"
