-- Hot: by two indexes, one of what is ready and one of timers. Nobody waits here for anybody: what another node is claiming is passed over.
-- Runs with which $6 or more workers died are shown and not claimed.
WITH ready AS (
    SELECT id, state, started_at, rank, crashes, NULL::timestamptz AS due_at FROM billhook.flow_runs
    WHERE rank IS NOT NULL AND blocked_on IS NULL AND function = ANY($5)
        -- A run of a function of which each version executes its own begins with any and goes on with that one.
        AND (version IS NULL OR function <> ALL($9) OR (function, version) IN (SELECT * FROM unnest($9::text[], $10::text[])))
    ORDER BY rank, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), timers AS (
    SELECT id, state, started_at, rank, CASE state WHEN 'running' THEN crashes + 1 ELSE crashes END AS crashes, due_at
    FROM billhook.flow_runs
    WHERE rank IS NULL AND due_at <= $2 AND function = ANY($5)
        AND (version IS NULL OR function <> ALL($9) OR (function, version) IN (SELECT * FROM unnest($9::text[], $10::text[])))
    ORDER BY due_at, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), chosen AS (
    -- One of each in turn, so that neither many new runs nor many old ones keep the other kind waiting.
    SELECT id, state, started_at, rank, crashes, 2 * row_number() OVER (ORDER BY due_at, id) AS turn FROM timers
    UNION ALL
    SELECT id, state, started_at, rank, crashes, 2 * row_number() OVER (ORDER BY rank, id) + 1 FROM ready
    ORDER BY turn
    LIMIT $4
), claimed AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, holder = $1, state = 'running', due_at = $3, started_at = coalesce(run.started_at, $2),
        crashes = chosen.crashes, is_nudged = false, rank = NULL,
        expires_at = CASE WHEN run.started_at IS NULL THEN run.end_by ELSE run.expires_at END, slot = NULL, pause = NULL,
        version = coalesce(run.version, (
            SELECT newest.version FROM unnest($7::text[], $8::text[]) AS newest (function, version) WHERE newest.function = run.function
        ))
    FROM chosen WHERE run.id = chosen.id AND chosen.crashes < $6
    RETURNING
        run.id, run.function, run.event_key, run.token, run.failures, run.crashes, run.created_at,
        chosen.started_at IS NULL AS is_first, chosen.state = 'waiting' AS has_waited, chosen.rank, run.events_max > 1 AS is_batch,
        run.version
)
SELECT
    chosen.id, claimed.function, claimed.token, claimed.failures, claimed.crashes, claimed.is_first, claimed.created_at,
    event.key, event.id, event.name, event.data, event.ts, claimed.has_waited, claimed.rank, claimed.is_batch,
    claimed.version, claimed.id IS NULL AS is_suspect
FROM chosen
LEFT JOIN claimed ON claimed.id = chosen.id
LEFT JOIN billhook.flow_events AS event ON event.key = claimed.event_key
WHERE claimed.id IS NULL OR event.key IS NOT NULL
ORDER BY chosen.turn
