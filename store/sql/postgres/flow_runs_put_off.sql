-- Runs that are locked and have to wait for other suspects. They keep the places at gates that they have.
UPDATE billhook.flow_runs AS run SET
    token = run.token + 1, holder = NULL, state = 'queued', due_at = given.due_at, crashes = given.crashes, is_nudged = false, rank = NULL
FROM (
    SELECT unnest($1::text[]) AS id, unnest($2::timestamptz[]) AS due_at, unnest($3::integer[]) AS crashes
) AS given
WHERE run.id = given.id
