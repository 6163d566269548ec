-- An object has one mark for each event and reason, so that what settles one doubt settles no other.
INSERT INTO billhook.dirty AS stored (object, id, account, reason, event_id, not_before)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::timestamptz[])
ON CONFLICT (object, id, event_id, reason) DO UPDATE SET
    account = excluded.account, not_before = excluded.not_before, marked_at = now()
WHERE stored.not_before <= excluded.not_before
