-- Fills payment_intents.invoice of intent ?1 where it is empty. One index lookup; writes only when found.
UPDATE payment_intents SET invoice = found.invoice
FROM (
    SELECT invoice FROM invoice_payments
    WHERE CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END = ?1 AND invoice IS NOT NULL
    ORDER BY is_default DESC, id LIMIT 1
) AS found
WHERE payment_intents.id = ?1 AND payment_intents.invoice IS NULL;
