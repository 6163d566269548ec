-- Hot: by the index of due runs. Nobody waits here for anybody: what another node is claiming is passed over. Of runs with which
-- workers died some are taken, up to place 0. The others are put off in the same statement, so that they are held by nobody who may die.
WITH due AS (
    SELECT id, due_at, state, started_at, CASE state WHEN 'running' THEN crashes + 1 ELSE crashes END AS crashes
    FROM billhook.flow_runs
    WHERE due_at <= $2 AND function = ANY($5)
        -- A run of a function of which each version executes its own begins with any and goes on with that one.
        AND (version IS NULL OR function <> ALL($13) OR (function, version) IN (SELECT * FROM unnest($13::text[], $14::text[])))
    ORDER BY due_at, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), chosen AS (
    SELECT *, CASE
        WHEN crashes < $6 THEN 0
        ELSE row_number() OVER (PARTITION BY sign(crashes - $6) ORDER BY due_at, id) - CASE
            WHEN crashes = $6 THEN $7::bigint
            -- Whoever is to be executed as the only suspect waits for those of which there may be a few.
            WHEN count(*) FILTER (WHERE crashes = $6) OVER () > 0 THEN $10::bigint
            ELSE $8::bigint
        END
    END AS place
    FROM due
), claimed AS (
    UPDATE billhook.flow_runs AS run SET
        version = coalesce(run.version, (
            SELECT newest.version FROM unnest($11::text[], $12::text[]) AS newest (function, version) WHERE newest.function = run.function
        )),
        token = run.token + 1, crashes = chosen.crashes, is_nudged = false, started_at = coalesce(run.started_at, $2),
        holder = CASE WHEN chosen.place <= 0 THEN $1 END,
        state = CASE WHEN chosen.place <= 0 THEN 'running' ELSE 'queued' END,
        due_at = CASE WHEN chosen.place <= 0 THEN $3 ELSE $2 + chosen.place * $9::bigint * interval '1 millisecond' END,
        expires_at = CASE WHEN run.started_at IS NULL THEN run.end_by ELSE run.expires_at END
    FROM chosen WHERE run.id = chosen.id
    RETURNING
        run.id, run.function, run.event_key, run.token, run.failures, run.crashes, run.created_at, run.version, chosen.due_at AS waiting_since,
        chosen.started_at IS NULL AS is_first, chosen.state = 'waiting' AS has_waited, chosen.place
)
SELECT
    claimed.id, claimed.function, claimed.token, claimed.failures, claimed.crashes, claimed.is_first, claimed.created_at,
    event.key, event.id, event.name, event.data, event.ts, claimed.has_waited, claimed.version
FROM claimed JOIN billhook.flow_events AS event ON event.key = claimed.event_key
WHERE claimed.place <= 0
ORDER BY claimed.waiting_since, claimed.id
