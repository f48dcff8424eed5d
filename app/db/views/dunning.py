"""Dunning policies and runs, as callers see them."""

from app.db.views.base import CREATED, View

STEPS = "CASE t.collection_method WHEN 'send_invoice' THEN 'reminders' ELSE 'steps' END"
OWN_CHANNELS = f"CASE WHEN t.step > 0 THEN t.terms -> ({STEPS}) -> (t.step - 1) -> 'channels' END"

DUNNING_POLICY = View(
    object="dunning_policy",
    prefix="dpol",
    table="dunning_policies",
    columns="""
        t.id, t.code, t.name, t.is_default, t.segment,
        ARRAY(SELECT d.plan_id FROM dunning_policy_plans d
               WHERE d.merchant_id = t.merchant_id AND d.policy_id = t.id
               ORDER BY d.plan_id) AS plan_ids,
        t.terms -> 'steps' AS steps, t.terms -> 'channels' AS channels,
        t.terms ->> 'final_action' AS final_action,
        t.terms ->> 'unpaid_invoice' AS unpaid_invoice,
        (t.terms ->> 'attempts_max')::int AS attempts_max,
        t.terms -> 'reminders' AS reminders, t.terms ->> 'overdue_action' AS overdue_action,
        coalesce(t.terms ->> 'failover', 'any') AS failover,
        t.metadata, t.active, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "active": "t.active = {}",
        "code": "t.code = {}",
        "segment": "t.segment = {}",
    },
)

DUNNING_RUN = View(
    object="dunning_run",
    prefix="dun",
    table="dunning_runs",
    columns=f"""
        t.id, t.invoice_id, t.customer_id, t.policy_id, t.status, t.collection_method, t.currency,
        t.amount, t.failed_at, t.zone, t.step, t.terms -> ({STEPS}) AS steps,
        coalesce(nullif(({OWN_CHANNELS})::text, 'null'), (t.terms -> 'channels')::text)::json
            AS channels,
        t.attempts, t.next_attempt_at, t.next_action_at, t.waiting_for, t.first_category,
        t.last_category, t.last_code, t.paused_at, t.ended_at, t.end_reason,
        CASE t.collection_method WHEN 'send_invoice' THEN t.terms ->> 'overdue_action'
             ELSE t.terms ->> 'final_action' END AS planned_action,
        t.final_action, t.amount_recovered, t.recovered_by_attempt, t.parked_at, t.parked_reason,
        t.test_clock_id, t.created_at, t.version
    """,
    filters={
        **CREATED,
        "status": "t.status = {}",
        "invoice_id": "t.invoice_id = {}",
        "customer_id": "t.customer_id = {}",
        "policy_id": "t.policy_id = {}",
    },
    references={"invoice": "invoice", "customer": "customer", "policy": "dunning_policy"},
)
