"""What tables alone cannot say: who may see which rows, and what may never change.

Two roles, neither of which owns anything, so that row-level security binds them:
`perennial_app` sees the rows of one merchant, the one set in `app.merchant_id` for its
transaction, and fails when none is set; `perennial_system` crosses merchants for the clock and
the sweeps. Every connection acts as one of them, whoever logged in.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final = ("ledger_entries", "events", "audit_log", "balance_transactions")
DELETABLE: Final = ("idempotency_keys", "inbound_events")

ROLES: Final = (
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_app') THEN
            CREATE ROLE perennial_app NOLOGIN;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_system') THEN
            CREATE ROLE perennial_system NOLOGIN;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
    """,
    # Its policies let the system role see every row anyway. Where the owner may grant this too,
    # PostgreSQL lets it COPY, which it refuses to whomever a policy binds, however generous.
    """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'perennial_system' AND NOT rolbypassrls) THEN
            ALTER ROLE perennial_system BYPASSRLS;
        END IF;
    EXCEPTION WHEN internal_error THEN NULL;  -- another database's migration does it right now
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'perennial_system cannot bypass row-level security: bulk writes go without COPY';
    END $$
    """,
    "GRANT perennial_app, perennial_system TO CURRENT_USER",
    "GRANT USAGE ON SCHEMA public TO perennial_app, perennial_system",
)

FUNCTIONS: Final = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE FUNCTION guard_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    DECLARE
        sums record;
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.status <> 'draft' THEN
                RAISE EXCEPTION 'a finalized invoice is never deleted' USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN OLD;
        END IF;
        IF OLD.status = 'draft' THEN
            IF NEW.status <> 'draft' THEN
                SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(discount_amount), 0) AS discount,
                       coalesce(sum(tax_amount), 0) AS tax
                  INTO sums FROM invoice_lines
                 WHERE merchant_id = NEW.merchant_id AND invoice_id = NEW.id;
                IF (sums.amount, sums.discount, sums.tax)
                   IS DISTINCT FROM (NEW.subtotal, NEW.discount_total, NEW.tax_total) THEN
                    RAISE EXCEPTION 'the lines of invoice % do not add up to it', NEW.id
                        USING ERRCODE = 'integrity_constraint_violation';
                END IF;
            END IF;
            RETURN NEW;
        END IF;
        IF (NEW.customer_id, NEW.subscription_id, NEW.series, NEW.series_number, NEW.number, NEW.currency,
            NEW.billing_reason, NEW.cycle_start, NEW.period_start, NEW.period_end, NEW.subtotal,
            NEW.discount_total, NEW.tax_total, NEW.tax_added, NEW.total, NEW.balance_applied,
            NEW.amount_due, NEW.created_at, NEW.finalized_at)
           IS DISTINCT FROM
           (OLD.customer_id, OLD.subscription_id, OLD.series, OLD.series_number, OLD.number, OLD.currency,
            OLD.billing_reason, OLD.cycle_start, OLD.period_start, OLD.period_end, OLD.subtotal,
            OLD.discount_total, OLD.tax_total, OLD.tax_added, OLD.total, OLD.balance_applied,
            OLD.amount_due, OLD.created_at, OLD.finalized_at) THEN
            RAISE EXCEPTION 'invoice % is final; only its status may change', OLD.id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
            ('open', 'paid'), ('open', 'void'), ('open', 'uncollectible'),
            ('uncollectible', 'paid'), ('uncollectible', 'void')) THEN
            RAISE EXCEPTION 'an invoice does not go from % to %', OLD.status, NEW.status
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION guard_lines_sum() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM (SELECT merchant_id, invoice_id, sum(amount) AS amount,
                                sum(discount_amount) AS discount, sum(tax_amount) AS tax
                           FROM fresh GROUP BY merchant_id, invoice_id) AS lines
              JOIN invoices i ON i.merchant_id = lines.merchant_id AND i.id = lines.invoice_id
             WHERE i.status <> 'draft'
               AND (lines.amount <> i.subtotal OR lines.discount <> i.discount_total
                    OR lines.tax <> i.tax_total)) THEN
            RAISE EXCEPTION 'lines do not add up to their finalized invoice'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION guard_line() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF EXISTS (SELECT FROM invoices WHERE merchant_id = OLD.merchant_id AND id = OLD.invoice_id
                      AND status <> 'draft') THEN
            RAISE EXCEPTION 'the lines of a finalized invoice never change'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END $$
    """,
    """
    CREATE FUNCTION guard_settled() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF NEW.status <> OLD.status THEN
            RAISE EXCEPTION '% % is settled as % and stays so', TG_TABLE_NAME, OLD.id, OLD.status
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
)


def upgrade(tables: Sequence[str]) -> Iterator[str]:
    """The statements to run once `tables` exist."""
    yield from ROLES
    for table in tables:
        yield from guards.row_security(table, append_only=APPEND_ONLY, deletable=DELETABLE)
    yield from FUNCTIONS
    for table in APPEND_ONLY:
        yield guards.refuse_changes(table)
    yield (
        "CREATE TRIGGER invoices_guard BEFORE UPDATE OR DELETE ON invoices "
        "FOR EACH ROW EXECUTE FUNCTION guard_invoice()"
    )
    yield (
        "CREATE TRIGGER invoice_lines_sum AFTER INSERT ON invoice_lines "
        "REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION guard_lines_sum()"
    )
    yield (
        "CREATE TRIGGER invoice_lines_guard BEFORE UPDATE OR DELETE ON invoice_lines "
        "FOR EACH ROW EXECUTE FUNCTION guard_line()"
    )
    for table in ("invoice_line_discounts", "invoice_line_taxes"):
        yield guards.refuse_changes(table)
    for table, settled in (
        ("payment_attempts", "'succeeded', 'failed', 'canceled'"),
        ("payments", "'succeeded', 'canceled'"),
        ("refunds", "'succeeded', 'failed'"),
        ("subscriptions", "'canceled', 'incomplete_expired'"),
    ):
        yield (
            f"CREATE TRIGGER {table}_settled BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN (OLD.status IN ({settled})) EXECUTE FUNCTION guard_settled()"
        )


def downgrade() -> Iterator[str]:
    """The statements to run once the tables are gone. Roles belong to the cluster and stay."""
    for function in (
        "refuse_change",
        "guard_invoice",
        "guard_lines_sum",
        "guard_line",
        "guard_settled",
    ):
        yield f"DROP FUNCTION {function}()"
