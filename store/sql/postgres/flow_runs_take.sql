-- Claims runs that are locked and have passed their gates.
WITH given AS (
    SELECT id, holds, turn FROM unnest($4::text[], $5::integer[]) WITH ORDINALITY AS given (id, holds, turn)
), chosen AS (
    SELECT run.id, run.state, run.started_at, run.rank, given.holds, given.turn
    FROM given JOIN billhook.flow_runs AS run ON run.id = given.id
), claimed AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, holder = $1, state = 'running', due_at = $3, started_at = coalesce(run.started_at, $2),
        crashes = CASE chosen.state WHEN 'running' THEN run.crashes + 1 ELSE run.crashes END, is_nudged = false, rank = NULL,
        expires_at = CASE WHEN run.started_at IS NULL THEN run.end_by ELSE run.expires_at END, slot = NULL, pause = NULL,
        holds = chosen.holds, version = coalesce(run.version, (
            SELECT newest.version FROM unnest($6::text[], $7::text[]) AS newest (function, version) WHERE newest.function = run.function
        ))
    FROM chosen WHERE run.id = chosen.id
    RETURNING
        run.id, run.function, run.event_key, run.token, run.failures, run.crashes, run.created_at, chosen.turn,
        chosen.started_at IS NULL AS is_first, chosen.state = 'waiting' AS has_waited, chosen.rank, run.events_max > 1 AS is_batch,
        run.version
)
SELECT
    claimed.id, claimed.function, claimed.token, claimed.failures, claimed.crashes, claimed.is_first, claimed.created_at,
    event.key, event.id, event.name, event.data, event.ts, claimed.has_waited, claimed.rank, claimed.is_batch, claimed.version
FROM claimed JOIN billhook.flow_events AS event ON event.key = claimed.event_key
ORDER BY claimed.turn
