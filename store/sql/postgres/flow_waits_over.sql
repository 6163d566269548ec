-- Waits of these runs whose time is over have their result: nothing came.
WITH ended AS (
    DELETE FROM billhook.flow_waits WHERE run = ANY($1) AND kind = 'event' AND until <= $2
    RETURNING run, step, occurrence
)
INSERT INTO billhook.flow_steps AS stored (run, step, occurrence, memo, is_final, recorded_at)
SELECT run, step, occurrence, $3, true, $2 FROM ended
ON CONFLICT (run, step, occurrence) DO UPDATE SET
    memo = excluded.memo, is_final = true, recorded_at = excluded.recorded_at
WHERE NOT stored.is_final
