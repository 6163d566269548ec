-- Fills charges.invoice and charges.dispute of charge ?1 where they are empty. Three index lookups; writes only when found.
UPDATE charges SET
    invoice = coalesce(charges.invoice, found.invoice),
    dispute = coalesce(charges.dispute, found.dispute)
FROM (
    SELECT
        coalesce(
            (SELECT invoice FROM invoice_payments
                WHERE CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END = ?1 AND invoice IS NOT NULL
                ORDER BY is_default DESC, id LIMIT 1),
            (SELECT invoice FROM invoice_payments
                WHERE CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END = written.payment_intent
                    AND invoice IS NOT NULL
                ORDER BY is_default DESC, id LIMIT 1)
        ) AS invoice,
        (SELECT id FROM disputes WHERE charge = ?1 ORDER BY created DESC, id LIMIT 1) AS dispute
    FROM charges AS written
    WHERE written.id = ?1 AND (written.invoice IS NULL OR written.dispute IS NULL)
) AS found
WHERE charges.id = ?1
    AND ((charges.invoice IS NULL AND found.invoice IS NOT NULL) OR (charges.dispute IS NULL AND found.dispute IS NOT NULL));
