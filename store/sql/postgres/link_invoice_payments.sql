-- After invoice payments were written: the charges, intents and invoices they tie together.
-- `coalesce(…) = ''` and not `IS NULL`: the planner would take the column's index for that and read every row without a value.
WITH written AS MATERIALIZED (
    SELECT
        payment.id, payment.invoice, payment.is_default,
        payment.payment ->> 'charge' AS charge,
        payment.payment ->> 'payment_intent' AS payment_intent
    FROM {mirror}.invoice_payments AS payment
    WHERE payment.id = ANY($1) AND payment.invoice IS NOT NULL
), reached AS (
    SELECT DISTINCT ON (id) id, invoice FROM (
        SELECT charge.id, written.invoice, written.is_default, written.id AS payment
        FROM written JOIN {mirror}.charges AS charge ON charge.id = written.charge
        UNION ALL
        SELECT charge.id, written.invoice, written.is_default, written.id
        FROM written JOIN {mirror}.charges AS charge ON charge.payment_intent = written.payment_intent
    ) AS either
    ORDER BY id, is_default DESC NULLS LAST, payment
), charged AS (
    UPDATE {mirror}.charges AS charge SET invoice = reached.invoice
    FROM reached
    WHERE charge.id = reached.id AND coalesce(charge.invoice, '') = ''
), intended AS (
    UPDATE {mirror}.payment_intents AS intent SET invoice = payment.invoice
    FROM (
        SELECT DISTINCT ON (payment_intent) payment_intent, invoice FROM written
        WHERE payment_intent IS NOT NULL
        ORDER BY payment_intent, is_default DESC NULLS LAST, id
    ) AS payment
    WHERE intent.id = payment.payment_intent AND coalesce(intent.invoice, '') = ''
)
UPDATE {mirror}.invoices AS invoice SET
    charge = coalesce(invoice.charge, payment.charge),
    payment_intent = coalesce(invoice.payment_intent, payment.payment_intent)
FROM (
    SELECT DISTINCT ON (written.invoice)
        written.invoice, written.payment_intent, coalesce(written.charge, intent.latest_charge) AS charge
    FROM written
    LEFT JOIN {mirror}.payment_intents AS intent ON intent.id = written.payment_intent
    ORDER BY written.invoice, written.is_default DESC NULLS LAST, written.id
) AS payment
WHERE invoice.id = payment.invoice
    AND ((coalesce(invoice.charge, '') = '' AND payment.charge IS NOT NULL)
        OR (coalesce(invoice.payment_intent, '') = '' AND payment.payment_intent IS NOT NULL))
