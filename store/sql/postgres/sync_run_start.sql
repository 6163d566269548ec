-- Makes the run with its segments, or finds the open one of the same kind and window. Empty when another session makes or ends
-- such a run at this moment: ask again.
WITH made AS (
    INSERT INTO billhook.sync_runs (object, created_gte, created_lt, trigger, is_reconcile, related, requested_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING
    RETURNING id
), segments AS (
    INSERT INTO billhook.sync_segments (run, is_reconcile, free_at, stream, created_gte, created_lt, cursor)
    SELECT made.id, $5, $7, unnest($8::text[]), unnest($9::bigint[]), unnest($10::bigint[]), unnest($11::text[]) FROM made
), joined AS (
    UPDATE billhook.sync_runs SET related = related OR $6
    WHERE finished_at IS NULL AND object = $1 AND is_reconcile = $5
        AND coalesce(created_gte, '-9223372036854775808'::bigint) = coalesce($2, '-9223372036854775808'::bigint)
        AND coalesce(created_lt, '9223372036854775807'::bigint) = coalesce($3, '9223372036854775807'::bigint)
    RETURNING id
)
SELECT id, true AS is_new FROM made UNION ALL SELECT id, false FROM joined
