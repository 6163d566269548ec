-- An object has one mark for each event that caused one, so that the snapshot of a thin event settles no other doubt.
INSERT INTO billhook.dirty AS stored (object, id, account, reason, event_id, not_before)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::timestamptz[])
ON CONFLICT (object, id, event_id) DO UPDATE SET
    account = excluded.account, reason = excluded.reason, not_before = excluded.not_before, marked_at = now()
WHERE stored.not_before <= excluded.not_before
