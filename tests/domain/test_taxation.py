"""Who is charged which tax: every EU seller with every kind of buyer, and the world beyond."""

from datetime import UTC, date, datetime
from itertools import count
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.domain.eu_vat_rates import STANDARD_PPM
from app.domain.places import MEMBER_STATES, locate
from app.domain.tax import TaxRate
from app.domain.taxation import (
    Buyer,
    Level,
    Reason,
    Registration,
    Scheme,
    Seller,
    TableRate,
    Taxation,
    TaxExempt,
    Treatment,
    resolve,
)

DAY = date(2026, 6, 15)
STATES = sorted(MEMBER_STATES)
NUMBERS = count(1)

T, RC, E, NR, OUT = (
    Treatment.TAXABLE,
    Treatment.REVERSE_CHARGE,
    Treatment.EXEMPT,
    Treatment.NOT_REGISTERED,
    Treatment.OUTSIDE_SCOPE,
)


def rate(country: str, ppm: int, **options) -> TableRate:
    name = options.pop("name", f"{country} {ppm / 10_000:g} %")
    return TableRate(
        TaxRate(UUID(int=next(NUMBERS)), ppm, False, country, name), country, **options
    )


EU_RATES = [rate(country, ppm) for country, ppm in STANDARD_PPM.items()]
BY_COUNTRY = {one.country: one.rate for one in EU_RATES}


def at_home(country: str, *others: Registration, scheme=Scheme.STANDARD) -> Seller:
    return Seller((Registration(country, scheme=scheme, home=True), *others))


def oss(country: str) -> Registration:
    return Registration(country, scheme=Scheme.OSS)


def consumer(country: str, *address: str | None) -> Buyer:
    return Buyer(locate(country, *address))


def business(country: str, number: str | None = None) -> Buyer:
    return Buyer(locate(country), vat_countries=frozenset({number or country}))


def charged(seller: Seller, buyer: Buyer, rates=EU_RATES, code=None, day=DAY):
    found = resolve(seller, buyer, rates, code, day)
    return found.treatment, [one.rate_ppm for one in found.rates]


# ── every EU seller with every kind of buyer ─────────────────────────────────────────────────────


@pytest.mark.parametrize("buyer", STATES)
@pytest.mark.parametrize("seller", STATES)
def test_every_pair_of_member_states(seller: str, buyer: str) -> None:
    own, theirs = STANDARD_PPM[seller], STANDARD_PPM[buyer]
    domestic = seller == buyer
    plain, one_stop = at_home(seller), at_home(seller, oss(seller))
    # a consumer: the seller's rate, until the one-stop shop is used; then that of where they live
    assert charged(plain, consumer(buyer)) == (T, [own])
    assert charged(one_stop, consumer(buyer)) == (T, [theirs])
    # a business: at home like anyone, across the border it accounts for the tax itself
    expected = (T, [own]) if domestic else (RC, [0])
    assert charged(plain, business(buyer)) == expected
    assert charged(one_stop, business(buyer)) == expected
    # registered in the buyer's own state: its rate without the one-stop shop
    local = at_home(seller, Registration(buyer))
    assert charged(local, consumer(buyer)) == (T, [theirs])
    # whatever the rules say, the merchant's word on a customer stands
    assert charged(plain, Buyer(locate(buyer), TaxExempt.EXEMPT)) == (E, [0])
    assert charged(plain, Buyer(locate(buyer), TaxExempt.REVERSE)) == (RC, [0])
    # a small business charges nobody, but a business abroad still accounts for the tax itself
    small = at_home(seller, scheme=Scheme.SMALL_BUSINESS)
    assert charged(small, consumer(buyer)) == (E, [0])
    assert charged(small, business(buyer)) == ((E, [0]) if domestic else (RC, [0]))
    # not registered at home
    none = at_home(seller, scheme=Scheme.NONE)
    assert charged(none, consumer(buyer)) == (NR, [])


@pytest.mark.parametrize("seller", STATES)
@pytest.mark.parametrize("buyer", ["US", "CH", "GB", "XI", "NO", "IC", "RE", "AX", "GI"])
def test_every_member_state_with_buyers_outside(seller: str, buyer: str) -> None:
    """Outside the scope of VAT for consumers and businesses alike; the Canaries are outside."""
    for one in (at_home(seller), at_home(seller, oss(seller))):
        for who in (consumer(buyer), business(buyer)):
            assert charged(one, who)[0] is OUT


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("ES", None, "35001"), OUT),
        (("FR", None, "97200"), OUT),
        (("IT", None, "23041"), OUT),
        (("FI", None, "22100"), OUT),
        (("DE", None, "27498"), OUT),
        (("DE", None, "20095"), T),
        (("PT", None, "9000-081"), T),
        (("MC", None, "98000"), T),
    ],
)
def test_special_territories(address, expected) -> None:
    for seller in ("DE", "ES", "FR", "PT"):
        assert charged(at_home(seller, oss(seller)), consumer(*address))[0] is expected


def test_monaco_is_charged_the_french_rate() -> None:
    assert charged(at_home("DE", oss("DE")), consumer("MC")) == (T, [200_000])
    assert charged(at_home("FR"), consumer("MC")) == (T, [200_000])


def test_madeira_has_its_own_rate_of_the_same_tax() -> None:
    # 22 % where the region has a rate of the country's level: it replaces 23 %, and adds nothing
    rates = [*EU_RATES, rate("PT", 220_000, region="PT-30")]
    assert charged(at_home("PT"), consumer("PT", None, "9000-081"), rates) == (T, [220_000])
    assert charged(at_home("PT"), consumer("PT", None, "1100-148"), rates) == (T, [230_000])
    assert charged(at_home("DE", oss("DE")), consumer("PT", "30"), rates) == (T, [220_000])


def test_the_canaries_have_their_own_tax_for_whoever_registers_there() -> None:
    rates = [*EU_RATES, rate("ES", 70_000, region="ES-CN", name="IGIC")]
    islands = Registration("ES", "ES-CN")
    assert charged(at_home("ES", islands), consumer("IC"), rates) == (T, [70_000])
    assert charged(at_home("ES"), consumer("IC"), rates)[0] is OUT
    # a seller on the islands is not in the EU, though the mainland is the same country
    home = Seller((Registration("ES", "ES-CN", home=True),))
    assert charged(home, consumer("ES", None, "38001"), rates) == (T, [70_000])
    assert charged(home, consumer("ES", None, "28001"), rates)[0] is NR


def test_a_number_of_the_sellers_own_state_makes_no_reverse_charge() -> None:
    """A buyer in France with a German number is no foreign business to a German seller."""
    assert charged(at_home("DE", oss("DE")), business("FR", "DE")) == (T, [200_000])
    assert charged(at_home("DE"), business("FR", "DE")) == (T, [190_000])
    assert charged(at_home("DE"), business("DE", "FR")) == (T, [190_000])
    assert charged(at_home("DE"), business("FR", "IT")) == (RC, [0])


def test_the_note_of_each_treatment() -> None:
    notes = {
        buyer: resolve(at_home("DE"), who, EU_RATES, None, DAY)
        for buyer, who in {"FR": business("FR"), "US": consumer("US"), "DE": consumer("DE")}.items()
    }
    assert [(found.note, found.treatment.category) for found in notes.values()] == [
        ("VATEX-EU-AE", "AE"),
        ("VATEX-EU-O", "O"),
        (None, "S"),
    ]


def test_a_zero_names_its_reason_and_keeps_the_identity_of_the_rate_it_spares() -> None:
    found = resolve(at_home("DE"), business("FR"), EU_RATES, None, DAY)
    [zero] = found.rates
    assert (zero.id, zero.rate_ppm, zero.reason) == (BY_COUNTRY["FR"].id, 0, "reverse_charge")
    # a table without a French rate: the zero stands in the name of the German one
    german = [one for one in EU_RATES if one.country == "DE"]
    [zero] = resolve(at_home("DE"), business("FR"), german, None, DAY).rates
    assert zero.id == BY_COUNTRY["DE"].id
    assert resolve(at_home("DE"), business("FR"), [], None, DAY).rates == ()


# ── sellers outside the EU ────────────────────────────────────────────────────────────────────────


def test_a_seller_outside_the_eu() -> None:
    plain = at_home("CH")
    assert charged(plain, consumer("DE"))[0] is NR
    assert charged(plain, business("DE"))[0] is NR
    one_stop = at_home("CH", oss("IE"))
    assert charged(one_stop, consumer("DE")) == (T, [190_000])
    assert charged(one_stop, consumer("IE")) == (T, [230_000])
    assert charged(one_stop, business("DE")) == (RC, [0])
    assert charged(at_home("CH", Registration("DE")), business("DE")) == (RC, [0])
    assert charged(at_home("CH", Registration("DE")), consumer("DE")) == (T, [190_000])
    assert charged(at_home("CH", Registration("DE")), consumer("FR"))[0] is NR


def test_without_any_registration_nothing_is_charged_anywhere() -> None:
    for buyer in (consumer("DE"), business("FR"), consumer("US", "CA"), Buyer()):
        found = resolve(Seller(), buyer, EU_RATES, None, DAY)
        assert (found.treatment, found.rates) == (NR, ())


@pytest.mark.parametrize("country", ["GB", "NO", "AU", "NZ", "IN", "SG"])
def test_registered_abroad_for_consumers_only(country: str) -> None:
    seller, rates = at_home("DE", Registration(country)), [*EU_RATES, rate(country, 100_000)]
    company = Buyer(locate(country), id_countries=frozenset({country}))
    assert charged(seller, consumer(country), rates) == (T, [100_000])
    assert charged(seller, company, rates) == (RC, [0])
    # at home in that country, a business is charged like anyone
    assert charged(at_home(country), company, rates) == (T, [100_000])


def test_switzerland_charges_businesses_of_a_registered_foreigner_too() -> None:
    seller, rates = at_home("DE", Registration("CH")), [*EU_RATES, rate("CH", 81_000)]
    company = Buyer(locate("CH"), id_countries=frozenset({"CH"}))
    assert charged(seller, company, rates) == (T, [81_000])


# ── several taxes on one line ─────────────────────────────────────────────────────────────────────

GST = rate("CA", 50_000, name="GST")
HST = rate("CA", 130_000, region="CA-ON", name="HST")
PST = rate("CA", 70_000, region="CA-BC", level=Level.REGION, name="PST")
QST = rate("CA", 99_750, region="CA-QC", level=Level.REGION, name="QST")
CANADA = [PST, GST, QST, HST]


@pytest.mark.parametrize(
    ("province", "names"),
    [
        ("BC", ["GST", "PST"]),
        ("QC", ["GST", "QST"]),
        ("ON", ["HST"]),
        ("AB", ["GST"]),
    ],
)
def test_canadian_provinces(province: str, names: list[str]) -> None:
    found = resolve(at_home("CA"), consumer("CA", province), CANADA, None, DAY)
    assert [one.display_name for one in found.rates] == names


def test_a_registration_for_a_region_obliges_to_its_tax_alone() -> None:
    seller = at_home("US", Registration("CA", "CA-BC"))
    found = resolve(seller, consumer("CA", "BC"), CANADA, None, DAY)
    assert [one.display_name for one in found.rates] == ["PST"]
    assert charged(seller, consumer("CA", "QC"), CANADA)[0] is OUT


CALIFORNIA = [
    rate("US", 60_000, region="US-CA", level=Level.REGION, name="State"),
    rate("US", 2_500, region="US-CA", level=Level.COUNTY, postal_codes=("94",), name="County"),
    rate("US", 12_500, region="US-CA", level=Level.CITY, postal_codes=("941",), name="City"),
    rate("US", 10_000, region="US-CA", level=Level.DISTRICT, postal_codes=("94103",), name="D1"),
    rate(
        "US",
        5_000,
        region="US-CA",
        level=Level.DISTRICT,
        priority=1,
        postal_codes=("9410",),
        name="D2",
    ),
]


@pytest.mark.parametrize(
    ("postal_code", "names"),
    [
        ("94103-1234", ["State", "County", "City", "D1", "D2"]),
        ("94110", ["State", "County", "City"]),
        ("94501", ["State", "County"]),
        ("90001", ["State"]),
        (None, ["State"]),
    ],
)
def test_state_county_city_and_districts_add_up(postal_code, names) -> None:
    seller = Seller((Registration("US", "US-CA", home=True),))
    found = resolve(seller, consumer("US", "CA", postal_code), CALIFORNIA, None, DAY)
    assert [one.display_name for one in found.rates] == names


def test_states_without_nexus() -> None:
    seller = Seller((Registration("US", "US-CA", home=True), Registration("US", "US-TX")))
    rates = [*CALIFORNIA, rate("US", 62_500, region="US-TX"), rate("US", 40_000, region="US-NY")]
    assert charged(seller, consumer("US", "Texas"), rates) == (T, [62_500])
    assert charged(seller, consumer("US", "NY"), rates) == (NR, [])


def test_india_within_the_state_and_across() -> None:
    # IGST 18 % between states; inside the seller's own CGST 9 % takes its place and SGST 9 % adds.
    igst = rate("IN", 180_000, name="IGST")
    cgst = rate("IN", 90_000, region="IN-MH", name="CGST")
    sgst = rate("IN", 90_000, region="IN-MH", level=Level.REGION, name="SGST")
    seller = Seller((Registration("IN", "IN-MH", home=True), Registration("IN")))
    for state, names in {"MH": ["CGST", "SGST"], "KA": ["IGST"]}.items():
        found = resolve(seller, consumer("IN", state), [igst, sgst, cgst], None, DAY)
        assert [one.display_name for one in found.rates] == names


# ── products, days, and what is missing ──────────────────────────────────────────────────────────


def test_a_rate_for_a_product_replaces_the_general_one() -> None:
    book = rate("DE", 70_000, tax_codes=frozenset({"ebook", "book"}))
    rates = [*EU_RATES, book]
    assert charged(at_home("DE"), consumer("DE"), rates, "ebook") == (T, [70_000])
    assert charged(at_home("DE"), consumer("DE"), rates, "saas") == (T, [190_000])
    assert charged(at_home("DE"), consumer("DE"), rates) == (T, [190_000])
    # with tax codes for one product only, other products have no rate
    assert resolve(at_home("DE"), consumer("DE"), [book], "saas", DAY).reason is Reason.NO_RATE


def test_a_rate_of_zero_is_zero_rated() -> None:
    rates = [rate("GB", 200_000), rate("GB", 0, tax_codes=frozenset({"book"}))]
    assert charged(at_home("GB"), consumer("GB"), rates, "book") == (Treatment.ZERO_RATED, [0])


def test_a_rate_changes_at_midnight_of_its_first_day() -> None:
    # Germany, July to December 2020: 16 %.
    rates = [
        rate("DE", 190_000, valid_until=date(2020, 7, 1)),
        rate("DE", 160_000, valid_from=date(2020, 7, 1), valid_until=date(2021, 1, 1)),
        rate("DE", 190_000, valid_from=date(2021, 1, 1)),
    ]
    for day, ppm in {
        date(2020, 6, 30): 190_000,
        date(2020, 7, 1): 160_000,
        date(2020, 12, 31): 160_000,
        date(2021, 1, 1): 190_000,
    }.items():
        assert charged(at_home("DE"), consumer("DE"), rates, day=day) == (T, [ppm])


def test_of_overlapping_rates_the_younger_one_counts() -> None:
    rates = [rate("EE", 240_000, valid_from=date(2025, 7, 1)), rate("EE", 220_000)]
    assert charged(at_home("EE"), consumer("EE"), rates) == (T, [240_000])
    assert charged(at_home("EE"), consumer("EE"), rates, day=date(2025, 6, 30)) == (T, [220_000])


def test_a_registration_counts_while_it_holds() -> None:
    joined = Registration(
        "DE", scheme=Scheme.OSS, valid_from=date(2026, 1, 1), valid_until=date(2026, 7, 1)
    )
    seller = at_home("DE", joined)
    for day, ppm in {
        date(2025, 12, 31): 190_000,
        date(2026, 1, 1): 200_000,
        date(2026, 6, 30): 200_000,
        date(2026, 7, 1): 190_000,
    }.items():
        assert charged(seller, consumer("FR"), day=day) == (T, [ppm])


def test_a_small_business_that_grew() -> None:
    seller = Seller(
        (
            Registration("DE", None, Scheme.SMALL_BUSINESS, True, None, date(2026, 1, 1)),
            Registration("DE", None, Scheme.STANDARD, True, date(2026, 1, 1)),
        )
    )
    assert charged(seller, consumer("DE"), day=date(2025, 12, 31)) == (E, [0])
    assert charged(seller, consumer("DE"), day=date(2026, 1, 1)) == (T, [190_000])


def test_tax_that_is_due_without_a_rate_is_said_to_be_missing() -> None:
    german = [one for one in EU_RATES if one.country == "DE"]
    found = resolve(at_home("DE", oss("DE")), consumer("FR"), german, None, DAY)
    assert (found.treatment, found.rates, found.reason) == (T, (), Reason.NO_RATE)


def test_a_buyer_without_a_country_is_taken_to_be_at_home() -> None:
    found = resolve(at_home("DE"), Buyer(), EU_RATES, None, DAY)
    assert (found.treatment, found.reason) == (T, Reason.LOCATION_UNKNOWN)
    assert [one.rate_ppm for one in found.rates] == [190_000]


# ── as the clock asks ─────────────────────────────────────────────────────────────────────────────


def test_the_day_is_the_merchants() -> None:
    # 30 June, 22:30 UTC is 1 July in Berlin.
    rates = [
        rate("DE", 190_000, valid_until=date(2020, 7, 1)),
        rate("DE", 160_000, valid_from=date(2020, 7, 1)),
    ]
    instant = datetime(2020, 6, 30, 22, 30, tzinfo=UTC)
    for zone, ppm in {"Europe/Berlin": 160_000, "UTC": 190_000}.items():
        taxation = Taxation(at_home("DE"), consumer("DE"), rates, ZoneInfo(zone))
        assert [one.rate_ppm for one in taxation.rates(None, instant)] == [ppm]
        assert taxation.treatment(None, instant) is T


def test_what_was_asked_once_is_known() -> None:
    taxation = Taxation(at_home("DE"), consumer("DE"), EU_RATES, ZoneInfo("UTC"))
    morning, evening = datetime(2026, 1, 1, 9, tzinfo=UTC), datetime(2026, 1, 1, 21, tzinfo=UTC)
    assert taxation.resolved("saas", morning) is taxation.resolved("saas", evening)
    assert taxation.resolved("book", morning) is not taxation.resolved("saas", morning)
