-- Nobody died. But it may have been given back between the beginning of a wait and the look at earlier events, so that whoever comes next
-- looks again, as after a death. Locked in the order of ids, as everybody locks runs. Returns the gates that the runs leave: whoever gets
-- their places goes on, these runs or others.
WITH held AS (
    SELECT run.id FROM billhook.flow_runs AS run
    JOIN (SELECT unnest($1::text[]) AS id, unnest($2::bigint[]) AS token) AS given
        ON given.id = run.id AND given.token = run.token
    WHERE run.state = 'running'
    ORDER BY run.id
    FOR NO KEY UPDATE OF run
)
UPDATE billhook.flow_runs AS run SET
    state = 'queued', due_at = $3, holder = NULL, is_nudged = false, holds = 0, crashes = greatest(run.crashes, 1)
FROM held WHERE run.id = held.id
RETURNING run.gate_1, run.gate_2
