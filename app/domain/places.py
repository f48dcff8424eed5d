"""Where a party is for tax: its country, its region, and whether it is in the EU's VAT area.

Countries are ISO 3166-1, regions ISO 3166-2. The EU's VAT area is not the EU's map: Monaco is in
it, the Canary Islands are not (Council Directive 2006/112/EC, articles 5 to 7), and Northern
Ireland is in it for goods only, so that for services it is the United Kingdom.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from app.domain.errors import Problem
from app.domain.subdivisions import CODES

COUNTRIES: Final = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ
    EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW
    GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY
    KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV
    MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY
    QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG
    TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM
    ZW
    """.split()  # noqa: SIM905  one word each, read at a glance
)
"""The officially assigned codes of ISO 3166-1, and no others."""

MEMBER_STATES: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905
)

ALIASES: Final[Mapping[str, tuple[str, str | None]]] = {
    "EL": ("GR", None),  # as VAT numbers write Greece
    "UK": ("GB", None),
    "XI": ("GB", None),  # Northern Ireland: services follow the rules of the United Kingdom
    "IM": ("GB", None),  # the Isle of Man is one VAT area with the United Kingdom
    "MC": ("FR", None),  # Monaco's supplies count as French (article 7)
    "IC": ("ES", "ES-CN"),
    "AX": ("FI", "FI-01"),
    "GP": ("FR", "FR-971"),
    "MQ": ("FR", "FR-972"),
    "GF": ("FR", "FR-973"),
    "RE": ("FR", "FR-974"),
    "YT": ("FR", "FR-976"),
}
"""Codes that tax law reads as part of another country."""

OUTSIDE: Final[Mapping[str, tuple[tuple[str, str | None], ...]]] = {
    "DE": (("78266", None), ("27498", None)),  # Büsingen, Heligoland
    "ES": (("35", "ES-CN"), ("38", "ES-CN"), ("51", "ES-CE"), ("52", "ES-ML")),
    "FI": (("22", "FI-01"),),
    "FR": (
        ("971", "FR-971"),
        ("972", "FR-972"),
        ("973", "FR-973"),
        ("974", "FR-974"),
        ("976", "FR-976"),
        *((prefix, None) for prefix in ("975", "977", "978", "986", "987", "988")),
    ),
    "GR": (("63086", None), ("63087", None)),  # Mount Athos
    "IT": (("23041", None), ("22061", None)),  # Livigno, Campione d'Italia
}
"""Postal codes, by how they begin, of a member state's territories outside the EU's VAT area."""

OUTSIDE_REGIONS: Final = frozenset(
    "ES-CN ES-GC ES-TF ES-CE ES-ML FI-01 FR-971 FR-972 FR-973 FR-974 FR-976".split()  # noqa: SIM905
)
MERGED: Final[Mapping[str, str]] = {"ES-GC": "ES-CN", "ES-TF": "ES-CN"}
"""Provinces that are taxed as the community they make up."""

INSIDE: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "PT": (
        *((str(code), "PT-30") for code in range(90, 95)),
        *((f"9{n}", "PT-20") for n in "56789"),
    )
}
"""Postal codes of regions inside the area that have rates of their own: Madeira, the Azores."""

REGION: Final = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}", re.ASCII)
SHORT: Final = re.compile(r"[A-Z0-9]{1,3}", re.ASCII)
KNOWN_PLACES_MAX: Final = 20_000
"""Addresses remembered: more than there are places in a chunk of the clock's."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place as tax law sees it.

    `detached` says that the place belongs to its country but not to the country's VAT area: only
    what names its region applies there.
    """

    country: str
    region: str | None = None
    postal_code: str = ""
    detached: bool = False

    @property
    def is_eu(self) -> bool:
        """Whether it is in the EU's VAT area."""
        return self.country in MEMBER_STATES and not self.detached

    def is_taxed_with(self, other: "Place") -> bool:
        """Whether a supply between the two is domestic."""
        if self.country != other.country or self.detached != other.detached:
            return False
        return not self.detached or self.region == other.region


@lru_cache(maxsize=KNOWN_PLACES_MAX)
def locate(country: str, state: str | None = None, postal_code: str | None = None) -> Place:
    """The place of an address: `country` as ISO 3166-1 or as VAT numbers write it.

    `state` may be a code (`CA`, `US-CA`) or, in the United States, Canada and Australia, a name.
    """
    given = country.upper()
    land, region = ALIASES.get(given, (given, None))
    written = postal(postal_code or "")
    if region is None:
        region = _region(land, state)
    for prefix, inner in INSIDE.get(land, ()):
        if written.startswith(prefix):
            region = inner
    detached = region in OUTSIDE_REGIONS
    for prefix, outer in OUTSIDE.get(land, ()):
        # Monaco and others that are read as part of a country have postal codes of their own.
        if given == land and written.startswith(prefix):
            region, detached = outer, True
    return Place(land, MERGED.get(region or "", region), written, detached)


def postal(code: str) -> str:
    """A postal code without what only separates: `SW1A 1AA` is `SW1A1AA`."""
    return "".join(filter(str.isalnum, code)).upper()


def _region(country: str, state: str | None) -> str | None:
    text = (state or "").strip().upper()
    if REGION.fullmatch(text):
        return text if text.startswith(f"{country}-") else None
    if SHORT.fullmatch(text):
        return f"{country}-{text}"
    return CODES.get(country, {}).get(text)


def problems(country: str | None, region: str | None) -> Iterator[Problem]:
    """What keeps these from naming a place that tax is reckoned by; none when they do."""
    if country is None:
        if region is not None:
            yield Problem("A region needs its country.", "country")
        return
    if country in ALIASES:
        land, part = ALIASES[country]
        meant = land if part is None else f"{land} with the region {part}"
        yield Problem(f"For tax, {country} is part of {land}: say {meant}.", "country")
    elif country not in COUNTRIES:
        yield Problem("There is no such country in ISO 3166-1.", "country")
    elif region is not None and not (REGION.fullmatch(region) and region.startswith(f"{country}-")):
        yield Problem(f"A region is written as in ISO 3166-2: {country}-…", "region")
    elif region is not None and region in MERGED:
        yield Problem(f"For tax, {region} is part of {MERGED[region]}.", "region")


def problems_of_validity(valid_from: date | None, valid_until: date | None) -> Iterator[Problem]:
    """What keeps two days from being a beginning and an end; none when they are."""
    if valid_from is not None and valid_until is not None and valid_until <= valid_from:
        yield Problem("It must end after it begins; the last day is not part of it.", "valid_until")
