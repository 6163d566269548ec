INSERT INTO billhook.quarantine (sequence, reason, detail, applied, at)
SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::boolean[]), unnest($5::timestamptz[])
ON CONFLICT (sequence) DO UPDATE SET
    reason = excluded.reason, detail = excluded.detail, applied = excluded.applied, at = excluded.at, closed_at = NULL
