-- What a shop in full swing holds, made by the server from a series of numbers (see seed.py).
-- A merchant is found again by its place m, a subscription by its place n.

CREATE UNLOGGED TABLE seed_merchants AS
SELECT m, uuidv7() AS id, uuidv7() AS plan, uuidv7() AS seat, uuidv7() AS base, uuidv7() AS coupon,
       uuidv7() AS tax, uuidv7() AS gateway
  FROM generate_series(0, {merchants} - 1) AS m;

INSERT INTO merchants (id, name, mode, default_currency, created_at)
SELECT id, 'Merchant ' || m, 'test', 'EUR', {due} - interval '1 year' FROM seed_merchants;

INSERT INTO plans (merchant_id, id, code, name, rank, created_at)
SELECT id, plan, 'team', 'Team', 1, {due} - interval '1 year' FROM seed_merchants;

INSERT INTO prices (merchant_id, id, plan_id, nickname, currency, interval_unit, interval_count, model,
                    unit_amount_decimal, timing, setup_fee, trial_days, created_at)
SELECT id, base, plan, 'base fee', 'EUR', 'month', 1, 'flat', '3000', 'advance', 0, 0,
       {due} - interval '1 year' FROM seed_merchants
UNION ALL
SELECT id, seat, plan, 'seats', 'EUR', 'month', 1, 'per_unit', '1000', 'advance', 0, 0,
       {due} - interval '1 year' FROM seed_merchants;

INSERT INTO coupons (merchant_id, id, code, name, percent_off_ppm, duration, created_at)
SELECT id, coupon, 'FRIENDS', 'Friends', 100000, 'forever', {due} - interval '1 year'
  FROM seed_merchants;

INSERT INTO tax_rates (merchant_id, id, display_name, rate_ppm, inclusive, country, created_at)
SELECT id, tax, 'VAT', 190000, false, 'DE', {due} - interval '1 year' FROM seed_merchants;

INSERT INTO gateway_accounts (merchant_id, id, gateway, name, mode, is_default, created_at)
SELECT id, gateway, 'simulator', 'Simulator', 'test', true, {due} - interval '1 year'
  FROM seed_merchants;

INSERT INTO ledger_accounts (merchant_id, code, currency, created_at)
SELECT id, code, 'EUR', {due} - interval '1 year' FROM seed_merchants,
       unnest(ARRAY['receivable', 'deferred_revenue', 'tax_payable', 'cash:' || gateway]) AS code;

CREATE UNLOGGED TABLE seed AS
SELECT n, m.id AS merchant_id, uuidv7() AS id, uuidv7() AS customer, uuidv7() AS method,
       uuidv7() AS base_item, uuidv7() AS seat_item, uuidv7() AS discount,
       m.base, m.seat, m.coupon, m.tax, m.gateway, 1 + n % 9 AS seats,
       (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[1 + n % 4] AS zone,
       {due} - interval '{past} months' - interval '1 second' * (n * 3600 / {subscriptions}) AS start
  FROM generate_series(0, {subscriptions} - 1) AS n JOIN seed_merchants m ON m.m = n % {merchants}
 ORDER BY n;

INSERT INTO customers (merchant_id, id, external_id, email, name, country, zone,
                       default_payment_method_id, created_at)
SELECT merchant_id, customer, 'customer-' || n, 'customer-' || n || '@example.com', 'Customer ' || n,
       'DE', zone, method, start FROM seed;

INSERT INTO payment_methods (merchant_id, id, customer_id, gateway_account_id, gateway_reference, brand,
                             last_four, expiry_month, expiry_year, created_at)
SELECT merchant_id, method, customer, gateway, 'pm_sim_ok', 'visa', '4242', 12, 2030, start FROM seed;

INSERT INTO subscriptions (
    merchant_id, id, customer_id, status, currency, interval_unit, interval_count, zone, anchor,
    period_start, period_end, period_index, collection_method, net_days, start_at,
    cancel_at_period_end, created_at, next_action_at, version)
SELECT merchant_id, id, customer, 'active', 'EUR', 'month', 1, zone, start,
       start + interval '1 month' * ({past} - 1), start + interval '1 month' * {past}, {past} - 1,
       'charge_automatically', 0, start, false, start, start + interval '1 month' * {past}, {past}
  FROM seed;

INSERT INTO subscription_items (merchant_id, id, subscription_id, price_id, quantity, position)
SELECT merchant_id, base_item, id, base, 1, 0 FROM seed
UNION ALL SELECT merchant_id, seat_item, id, seat, seats, 1 FROM seed;

INSERT INTO discounts (merchant_id, id, subscription_id, coupon_id, position, created_at)
SELECT merchant_id, discount, id, coupon, 0, start FROM seed;

INSERT INTO subscription_tax_rates (merchant_id, subscription_id, tax_rate_id, position)
SELECT merchant_id, id, tax, 0 FROM seed;

-- The past: one paid invoice for each period, numbered in order of time.
CREATE UNLOGGED TABLE seed_bills AS
SELECT s.*, uuidv7() AS invoice, uuidv7() AS payment, uuidv7() AS attempt,
       uuidv7() AS base_line, uuidv7() AS seat_line,
       s.start + interval '1 month' * period AS at, s.start + interval '1 month' * (period + 1) AS until,
       row_number() OVER (PARTITION BY s.merchant_id ORDER BY period, s.n) AS place,
       3000 + 1000 * s.seats AS subtotal, 300 + 100 * s.seats AS off, 513 + 171 * s.seats AS vat,
       3213 + 1071 * s.seats AS total, period
  FROM generate_series(0, {past} - 1) AS period, seed s ORDER BY period, s.n;

INSERT INTO invoices (
    merchant_id, id, customer_id, subscription_id, status, series, series_number, number, currency,
    billing_reason, cycle_start, period_start, period_end, collection_method, subtotal,
    discount_total, tax_total, tax_added, total, balance_applied, amount_due, amount_paid, due_at,
    created_at, finalized_at, paid_at, version)
SELECT merchant_id, invoice, customer, id, 'paid', 'default', place, 'INV-' || lpad(place::text, 6, '0'),
       'EUR', 'subscription_cycle', at, at, until, 'charge_automatically', subtotal, off, vat, vat,
       total, 0, total, total, at, at, at, at, 2
  FROM seed_bills;

INSERT INTO invoice_lines (
    merchant_id, id, invoice_id, position, kind, subscription_item_id, price_id, description, quantity,
    period_start, period_end, amount, discount_amount, tax_amount)
SELECT merchant_id, base_line, invoice, 0, 'period', base_item, base, 'Team (base fee)', 1, at, until,
       3000, 300, 513 FROM seed_bills
UNION ALL
SELECT merchant_id, seat_line, invoice, 1, 'period', seat_item, seat, 'Team (seats)', seats, at, until,
       1000 * seats, 100 * seats, 171 * seats FROM seed_bills;

INSERT INTO invoice_line_discounts (merchant_id, line_id, discount_id, amount)
SELECT merchant_id, base_line, discount, 300 FROM seed_bills
UNION ALL SELECT merchant_id, seat_line, discount, 100 * seats FROM seed_bills;

INSERT INTO invoice_line_taxes (merchant_id, line_id, tax_rate_id, rate_ppm, inclusive, taxable_amount,
                                amount)
SELECT merchant_id, base_line, tax, 190000, false, 2700, 513 FROM seed_bills
UNION ALL SELECT merchant_id, seat_line, tax, 190000, false, 900 * seats, 171 * seats FROM seed_bills;

INSERT INTO payments (
    merchant_id, id, invoice_id, customer_id, payment_method_id, status, currency, amount,
    amount_captured, amount_refunded, amount_refund_reserved, attempt_count, created_at,
    succeeded_at, version)
SELECT merchant_id, payment, invoice, customer, method, 'succeeded', 'EUR', total, total, 0, 0, 1, at, at, 3
  FROM seed_bills;

INSERT INTO payment_attempts (
    merchant_id, id, payment_id, invoice_id, gateway_account_id, payment_method_id, ordinal, status,
    currency, amount, idempotency_key, reference, gateway_reference, look_ups, created_at,
    settled_at, version)
SELECT merchant_id, attempt, payment, invoice, gateway, method, 1, 'succeeded', 'EUR', total,
       'perennial-' || attempt, 'reference-' || attempt, 'ch_' || attempt, 0, at, at, 2
  FROM seed_bills;

INSERT INTO ledger_entries (merchant_id, id, source, source_id, debit, credit, currency, amount,
                            effective_at)
SELECT merchant_id, uuidv7(), source, CASE source WHEN 'invoice' THEN invoice ELSE payment END, debit,
       credit, 'EUR', amount, at
  FROM seed_bills, LATERAL (VALUES
       ('invoice', 'receivable', 'deferred_revenue', subtotal - off),
       ('invoice', 'receivable', 'tax_payable', vat),
       ('payment', 'cash:' || gateway, 'receivable', total)) AS e (source, debit, credit, amount);

INSERT INTO events (merchant_id, id, type, object, object_id, object_version, data, created_at)
SELECT merchant_id, uuidv7(), type, object, CASE object WHEN 'invoice' THEN invoice ELSE id END, 1,
       json_build_object('id', invoice, 'customer_id', customer, 'status', 'paid', 'currency', 'EUR',
                         'subtotal', subtotal, 'discount_total', off, 'tax_total', vat, 'total', total,
                         'period_start', at, 'period_end', until), at
  FROM seed_bills, LATERAL (VALUES
       ('subscription.renewed', 'subscription'), ('invoice.finalized', 'invoice')) AS e (type, object);

UPDATE subscriptions s SET latest_invoice_id = b.invoice FROM seed_bills b
 WHERE s.merchant_id = b.merchant_id AND s.id = b.id AND b.period = {past} - 1;

INSERT INTO invoice_series (merchant_id, series, prefix, next_number)
SELECT merchant_id, 'default', 'INV-', count(*) + 1 FROM seed_bills GROUP BY merchant_id;

DROP TABLE seed_bills, seed, seed_merchants;
