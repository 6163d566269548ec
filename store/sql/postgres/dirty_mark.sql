-- The mark with the later time stands, with its reason and event.
INSERT INTO billhook.dirty AS stored (object, id, account, reason, event_id, not_before)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::timestamptz[])
ON CONFLICT (object, id) DO UPDATE SET
    account = excluded.account, reason = excluded.reason, event_id = excluded.event_id, not_before = excluded.not_before,
    marked_at = now()
WHERE stored.not_before <= excluded.not_before
