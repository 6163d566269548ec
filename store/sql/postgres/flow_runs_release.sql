-- Nobody died. But it may have been given back between the beginning of a wait and the look at earlier events, so that whoever comes next
-- looks again, as after a death. Returns the gates that the runs leave: whoever gets their places goes on, these runs or others.
UPDATE billhook.flow_runs AS run SET
    state = 'queued', due_at = $3, holder = NULL, is_nudged = false, holds = 0, crashes = greatest(run.crashes, 1)
FROM (SELECT unnest($1::text[]) AS id, unnest($2::bigint[]) AS token) AS given
WHERE run.id = given.id AND run.token = given.token AND run.state = 'running'
RETURNING run.gate_1, run.gate_2
