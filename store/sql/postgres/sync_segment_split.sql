-- Parts of segment $1, free since $2.
INSERT INTO billhook.sync_segments (run, is_reconcile, free_at, stream, created_gte, created_lt, cursor)
SELECT whole.run, whole.is_reconcile, $2, unnest($3::text[]), unnest($4::bigint[]), unnest($5::bigint[]), unnest($6::text[])
FROM billhook.sync_segments AS whole WHERE whole.id = $1
