-- Runs that found no place are not due until one is free. What had no rank is ordered by the time that has come.
UPDATE billhook.flow_runs AS run SET
    due_at = NULL, blocked_on = given.gate, blocked_places = given.places, holds = given.holds,
    rank = coalesce(run.rank, (extract(epoch FROM run.due_at) * 1000)::bigint)
FROM (
    SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS gate, unnest($3::integer[]) AS places, unnest($4::integer[]) AS holds
) AS given
WHERE run.id = given.id
