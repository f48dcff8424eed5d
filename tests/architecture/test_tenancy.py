"""The tenant comes first in every key, so that no row can point or collide across merchants."""

import pytest
from sqlalchemy import Table, UniqueConstraint

from app.db.tables import metadata

TABLES = list(metadata.sorted_tables)
BEFORE_THE_TENANT_IS_KNOWN = {
    "uq_api_keys_hash": "a key says whose it is, so it is looked up first"
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_keys_begin_with_the_merchant(table: Table) -> None:
    if table.name == "merchants":
        assert [c.name for c in table.primary_key.columns] == ["id"]
        return
    first = next(iter(table.columns))
    assert (first.name, first.nullable) == ("merchant_id", False)
    keys = [table.primary_key]
    keys += [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    keys += [i for i in table.indexes if i.unique and i.name not in BEFORE_THE_TENANT_IS_KNOWN]
    for key in keys:
        assert next(iter(key.columns)).name == "merchant_id", f"{table.name}: {key.name}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_references_stay_inside_the_merchant(table: Table) -> None:
    for key in table.foreign_key_constraints:
        ours, theirs = key.column_keys[0], key.elements[0].target_fullname
        referred = key.referred_table.name
        whole = "merchants.id" if referred == "merchants" else f"{referred}.merchant_id"
        assert (ours, theirs) == ("merchant_id", whole), f"{table.name}: {key.name}"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_times_come_from_the_clock(table: Table) -> None:
    for column in table.columns:
        default = getattr(column.server_default, "arg", None)
        assert default is None or "(" not in str(default), f"{table.name}.{column.name}"
