-- After invoices were written: the default payment's charge and intent, when payments came before their invoice.
-- `coalesce(…) = ''` and not `IS NULL`: the planner would take the column's index for that and read every row without a value.
UPDATE {mirror}.invoices AS invoice SET
    charge = coalesce(invoice.charge, found.charge),
    payment_intent = coalesce(invoice.payment_intent, found.payment_intent)
FROM (
    SELECT DISTINCT ON (payment.invoice)
        payment.invoice,
        coalesce(payment.payment ->> 'charge', intent.latest_charge) AS charge,
        payment.payment ->> 'payment_intent' AS payment_intent
    FROM {mirror}.invoice_payments AS payment
    LEFT JOIN {mirror}.payment_intents AS intent ON intent.id = payment.payment ->> 'payment_intent'
    WHERE payment.invoice = ANY($1)
    ORDER BY payment.invoice, payment.is_default DESC NULLS LAST, payment.id
) AS found
WHERE invoice.id = found.invoice
    AND ((coalesce(invoice.charge, '') = '' AND found.charge IS NOT NULL)
        OR (coalesce(invoice.payment_intent, '') = '' AND found.payment_intent IS NOT NULL))
