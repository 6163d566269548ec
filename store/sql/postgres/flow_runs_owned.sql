-- The fence: of these runs, those that are still held under these tokens. Locked in the order of ids.
SELECT run.id, run.token FROM billhook.flow_runs AS run
JOIN (SELECT unnest($1::text[]) AS id, unnest($2::bigint[]) AS token) AS given ON given.id = run.id AND given.token = run.token
WHERE run.state = 'running'
ORDER BY run.id
FOR NO KEY UPDATE OF run
