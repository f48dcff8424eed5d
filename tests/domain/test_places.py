"""Places as tax law sees them: what belongs to which country, and to the EU's VAT area."""

import pytest

from app.domain.places import (
    ALIASES,
    COUNTRIES,
    MEMBER_STATES,
    OUTSIDE,
    OUTSIDE_REGIONS,
    Place,
    locate,
    problems,
)

EU = True

CASES = [
    # an ordinary address in each kind of country
    (("DE", "Berlin", "10115"), "DE", None, EU),
    (("US", "CA", "94103"), "US", "US-CA", False),
    (("US", "california", None), "US", "US-CA", False),
    (("US", "us-ny", "10001"), "US", "US-NY", False),
    (("CA", "Québec", "H2X 1Y4"), "CA", "CA-QC", False),
    (("CH", "ZH", "8001"), "CH", "CH-ZH", False),
    # as VAT numbers write it, or lower case
    (("EL", None, "10431"), "GR", None, EU),
    (("de", None, None), "DE", None, EU),
    # Northern Ireland is in the EU for goods alone; the Isle of Man is taxed with Great Britain
    (("XI", None, "BT1 1AA"), "GB", None, False),
    (("IM", None, "IM1 1AA"), "GB", None, False),
    # Monaco's supplies are French ones
    (("MC", None, "98000"), "FR", None, EU),
    # outside the VAT area by postal code, by region and by a country code of their own
    (("ES", None, "35001"), "ES", "ES-CN", False),
    (("ES", "TF", None), "ES", "ES-CN", False),
    (("IC", None, None), "ES", "ES-CN", False),
    (("ES", None, "51001"), "ES", "ES-CE", False),
    (("ES", "ES-ML", None), "ES", "ES-ML", False),
    (("ES", None, "28001"), "ES", None, EU),
    (("FR", None, "97400"), "FR", "FR-974", False),
    (("RE", None, "97400"), "FR", "FR-974", False),
    (("GP", None, None), "FR", "FR-971", False),
    (("FR", None, "98713"), "FR", None, False),
    (("FR", None, "75001"), "FR", None, EU),
    (("IT", None, "23041"), "IT", None, False),
    (("IT", None, "22061"), "IT", None, False),
    (("IT", None, "20121"), "IT", None, EU),
    (("FI", None, "22100"), "FI", "FI-01", False),
    (("AX", None, "22100"), "FI", "FI-01", False),
    (("DE", None, "78266"), "DE", None, False),
    (("DE", None, "27498"), "DE", None, False),
    (("GR", None, "630 86"), "GR", None, False),
    # inside it, with rates of their own
    (("PT", None, "9000-081"), "PT", "PT-30", EU),
    (("PT", None, "9500-321"), "PT", "PT-20", EU),
    (("PT", None, "1100-148"), "PT", None, EU),
    # a state that is none
    (("US", "US", "x"), "US", "US-US", False),
    (("US", "DE-BY", None), "US", None, False),
    (("DE", "somewhere", ""), "DE", None, EU),
]


@pytest.mark.parametrize(("address", "country", "region", "is_eu"), CASES)
def test_where_an_address_is_for_tax(address, country, region, is_eu) -> None:
    place = locate(*address)
    assert (place.country, place.region, place.is_eu) == (country, region, is_eu)


def test_there_are_27_member_states_and_249_countries() -> None:
    assert len(MEMBER_STATES) == 27
    assert len(COUNTRIES) == 249
    assert MEMBER_STATES < COUNTRIES
    assert {land for land, _ in ALIASES.values()} <= COUNTRIES


def test_territories_outside_the_area_belong_to_member_states() -> None:
    assert OUTSIDE.keys() < MEMBER_STATES
    assert {region[:2] for region in OUTSIDE_REGIONS} < MEMBER_STATES


def test_a_territory_is_taxed_with_itself_only() -> None:
    spain, canaries, melilla = Place("ES"), locate("IC"), locate("ES", "ML")
    assert spain.is_taxed_with(locate("ES", None, "28001"))
    assert canaries.is_taxed_with(locate("ES", None, "38001"))
    assert not spain.is_taxed_with(canaries)
    assert not canaries.is_taxed_with(melilla)


@pytest.mark.parametrize(
    ("country", "region", "params"),
    [
        ("DE", None, []),
        ("US", "US-CA", []),
        (None, None, []),
        (None, "US-CA", ["country"]),
        ("ZZ", None, ["country"]),
        ("MC", None, ["country"]),
        ("US", "CA-ON", ["region"]),
        ("US", "US-", ["region"]),
        ("ES", "ES-TF", ["region"]),
        ("ES", "ES-CN", []),
    ],
)
def test_what_does_not_name_a_place_is_refused(country, region, params) -> None:
    assert [problem.param for problem in problems(country, region)] == params
