-- Fills invoices.charge and invoices.payment_intent of invoice ?1 from its payments, the default one first. A payment that names
-- only its intent leads to the intent's latest charge.
UPDATE invoices SET
    charge = coalesce(invoices.charge, found.charge),
    payment_intent = coalesce(invoices.payment_intent, found.payment_intent)
FROM (
    SELECT
        coalesce(payments.charge, (SELECT latest_charge FROM payment_intents WHERE id = payments.payment_intent)) AS charge,
        payments.payment_intent
    FROM (
        SELECT
            CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END AS charge,
            CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END AS payment_intent
        FROM invoice_payments
        WHERE invoice = ?1
        ORDER BY is_default DESC, id LIMIT 1
    ) AS payments
) AS found
WHERE invoices.id = ?1
    AND ((invoices.charge IS NULL AND found.charge IS NOT NULL)
        OR (invoices.payment_intent IS NULL AND found.payment_intent IS NOT NULL));
