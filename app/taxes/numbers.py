"""Checking tax ids by their form and their check digits, offline, with python-stdnum.

Types have the names that Stripe gave them. Where there is nothing to check a number by, it is kept
as it is and says so.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from stdnum.exceptions import ValidationError

from app.domain.errors import InvalidRequest
from app.domain.places import MEMBER_STATES
from app.domain.tax_id import EU_VAT, Checked, Status

NORTHERN_IRELAND: Final = "XI"

MODULES: Final[Mapping[str, str]] = {
    "al_tin": "al.nipt",
    "ar_cuit": "ar.cuit",
    "au_abn": "au.abn",
    "az_tin": "az.voen",
    "br_cnpj": "br.cnpj",
    "br_cpf": "br.cpf",
    "by_tin": "by.unp",
    "ca_bn": "ca.bn",
    "ch_uid": "ch.uid",
    "ch_vat": "ch.vat",
    "cl_tin": "cl.rut",
    "cn_tin": "cn.uscc",
    "co_nit": "co.nit",
    "cr_tin": "cr.cpj",
    "do_rcn": "do.rnc",
    "ec_ruc": "ec.ruc",
    "eg_tin": "eg.tn",
    EU_VAT: "eu.vat",
    "gb_vat": "gb.vat",
    "id_npwp": "id.npwp",
    "il_vat": "il.hp",
    "in_gst": "in_.gstin",
    "is_vat": "is_.vsk",
    "jp_cn": "jp.cn",
    "kr_brn": "kr.brn",
    "li_uid": "ch.uid",
    "ma_vat": "ma.ice",
    "md_vat": "md.idno",
    "me_pib": "me.pib",
    "mk_vat": "mk.edb",
    "mx_rfc": "mx.rfc",
    "no_vat": "no.mva",
    "nz_gst": "nz.ird",
    "pe_ruc": "pe.ruc",
    "rs_pib": "rs.pib",
    "ru_inn": "ru.inn",
    "sg_uen": "sg.uen",
    "sv_nit": "sv.nit",
    "tr_tin": "tr.vkn",
    "tw_vat": "tw.ubn",
    "ua_vat": "ua.edrpou",
    "us_ein": "us.ein",
    "uy_ruc": "uy.rut",
    "ve_rif": "ve.rif",
    "vn_tin": "vn.mst",
}
"""Each type that can be checked, and what checks it."""

UNCHECKED: Final = frozenset(
    """
    ae_trn bh_vat ge_vat hk_br ke_pin kz_bin my_sst ng_tin om_vat ph_tin sa_vat th_vat uz_vat
    za_vat
    """.split()  # noqa: SIM905  one word each, read at a glance
)
TYPES: Final = tuple(sorted(MODULES.keys() | UNCHECKED))
FOREIGN: Final = re.compile(r"[^0-9A-Z&Ñ]")
"""What no number has once its separators are gone."""


def check(type: str, value: str) -> Checked:
    """The number `value` in its compact form. Raises InvalidRequest where it cannot be one."""
    country = type[:2].upper()
    if type in UNCHECKED:
        return Checked(type, " ".join(value.split()).upper(), country, Status.UNVERIFIED)
    assert type in MODULES, f"there is no type {type}"
    try:
        normalized = str(_module(type).validate(value))
    except ValidationError:
        raise _invalid(type) from None
    if FOREIGN.search(normalized):
        raise _invalid(type)
    if type == EU_VAT:
        country = _state(normalized)
    return Checked(type, normalized, country, Status.VALID_FORMAT)


def _state(vat_number: str) -> str:
    """The country that a VAT number of the EU's form is from. Raises InvalidRequest."""
    prefix = vat_number[:2]
    if prefix == NORTHERN_IRELAND:
        return "GB"
    state = "GR" if prefix == "EL" else prefix
    if state not in MEMBER_STATES:
        # The checker also knows the numbers of the one-stop shop, which no business buys by.
        raise _invalid(EU_VAT)
    return state


@cache
def _module(type: str) -> ModuleType:
    return import_module(f"stdnum.{MODULES[type]}")


def _invalid(type: str) -> InvalidRequest:
    words = "an EU VAT number with its country's prefix" if type == EU_VAT else f"a {type}"
    return InvalidRequest(
        f"This is not {words}: its form or its check digits are wrong.",
        code="tax_id_invalid",
        param="value",
    )
