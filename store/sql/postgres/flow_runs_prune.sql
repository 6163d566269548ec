-- Runs that ended long ago with all that is recorded of them. $1: those that did not fail; $2: those that did.
WITH old AS (
    SELECT id FROM billhook.flow_runs
    WHERE ended_at < $1 AND (state <> 'failed' OR ended_at < $2) ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED
), steps AS (
    DELETE FROM billhook.flow_steps WHERE run IN (SELECT id FROM old)
), waits AS (
    DELETE FROM billhook.flow_waits WHERE run IN (SELECT id FROM old)
), joined AS (
    DELETE FROM billhook.flow_run_events WHERE run IN (SELECT id FROM old)
)
DELETE FROM billhook.flow_runs WHERE id IN (SELECT id FROM old)
