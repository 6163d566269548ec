-- What ties charges, intents and invoices together stands inside a JSON column. The same expressions stand in link.rs.
CREATE INDEX IF NOT EXISTS billhook_invoice_payments_charge_idx
    ON invoice_payments (CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END);
CREATE INDEX IF NOT EXISTS billhook_invoice_payments_payment_intent_idx
    ON invoice_payments (CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END);
