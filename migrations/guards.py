"""The statements that guard a table: what each revision's guards are made of.

The numbered migrations run these, so what they produce for the tables of a released revision
must not change: guard new tables in a new way with a new function.
"""

from collections.abc import Collection, Iterator, Sequence


def protect(
    tables: Sequence[str], *, append_only: Collection[str], deletable: Collection[str]
) -> Iterator[str]:
    """Guard the tables that a revision has just created."""
    for table in tables:
        yield from row_security(table, append_only=append_only, deletable=deletable)
    for table in tables:
        if table in append_only:
            yield refuse_changes(table)


def row_security(
    table: str, *, append_only: Collection[str], deletable: Collection[str]
) -> Iterator[str]:
    """Who sees which rows of a table, and what they may do with them."""
    column = "id" if table == "merchants" else "merchant_id"
    mine = f"{column} = current_setting('app.merchant_id')::uuid"
    verbs = "SELECT, INSERT" if table in append_only else "SELECT, INSERT, UPDATE"
    if table in deletable:
        verbs += ", DELETE"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY merchant ON {table} TO perennial_app USING ({mine}) WITH CHECK ({mine})"
    yield f"CREATE POLICY system ON {table} TO perennial_system USING (true) WITH CHECK (true)"
    yield f"GRANT {verbs} ON {table} TO perennial_app, perennial_system"


def refuse_changes(table: str) -> str:
    """Rows of the table are written once: not even the roles that may can change one."""
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
