-- After payment intents were written: their invoice, and the charge of an invoice that named only the intent.
-- `coalesce(…) = ''` and not `IS NULL`: the planner would take the column's index for that and read every row without a value.
WITH written AS MATERIALIZED (
    SELECT intent.id, intent.invoice, intent.latest_charge FROM {mirror}.payment_intents AS intent WHERE intent.id = ANY($1)
), paid AS (
    SELECT DISTINCT ON (written.id) written.id, written.latest_charge, payment.invoice
    FROM written
    JOIN {mirror}.invoice_payments AS payment ON payment.payment ->> 'payment_intent' = written.id
    WHERE payment.invoice IS NOT NULL
    ORDER BY written.id, payment.is_default DESC NULLS LAST, payment.id
), charged AS (
    UPDATE {mirror}.invoices AS invoice SET charge = paid.latest_charge
    FROM paid
    WHERE invoice.id = paid.invoice AND coalesce(invoice.charge, '') = '' AND paid.latest_charge IS NOT NULL
        AND invoice.payment_intent = paid.id
)
UPDATE {mirror}.payment_intents AS intent SET invoice = paid.invoice
FROM paid
WHERE intent.id = paid.id AND coalesce(intent.invoice, '') = ''
