-- Whoever deletes a wait has ended it, be it an event or the end of its time.
WITH given AS (
    SELECT
        unnest($1::text[]) AS run, unnest($2::text[]) AS kind, unnest($3::text[]) AS step, unnest($4::integer[]) AS occurrence,
        unnest($5::text[]) AS memo
), ended AS (
    DELETE FROM billhook.flow_waits AS wait USING given
    WHERE (wait.run, wait.kind, wait.step, wait.occurrence) = (given.run, given.kind, given.step, given.occurrence)
    RETURNING given.run, given.kind, given.step, given.occurrence, given.memo
), recorded AS (
    INSERT INTO billhook.flow_steps AS stored (run, step, occurrence, memo, is_final, recorded_at)
    SELECT run, step, occurrence, memo, true, $6::timestamptz FROM ended WHERE kind = 'event'
    ON CONFLICT (run, step, occurrence) DO UPDATE SET
        memo = excluded.memo, is_final = true, recorded_at = excluded.recorded_at
    WHERE NOT stored.is_final
    RETURNING run
)
UPDATE billhook.flow_runs AS run SET
    state = CASE run.state WHEN 'waiting' THEN 'queued' ELSE run.state END,
    due_at = CASE run.state WHEN 'waiting' THEN $6 ELSE run.due_at END,
    is_nudged = run.state = 'running',
    -- What stood at a gate for the end of its time comes to it anew.
    rank = CASE run.state WHEN 'waiting' THEN NULL ELSE run.rank END,
    blocked_on = CASE run.state WHEN 'waiting' THEN NULL ELSE run.blocked_on END,
    blocked_places = CASE run.state WHEN 'waiting' THEN NULL ELSE run.blocked_places END
WHERE run.id IN (SELECT run FROM recorded) AND run.state IN ('waiting', 'running', 'queued')
RETURNING run.id
