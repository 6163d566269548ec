-- Sorted for the order of locks.
WITH ended AS (
    SELECT run FROM billhook.flow_ended WHERE run = ANY($1) ORDER BY run FOR UPDATE
)
DELETE FROM billhook.flow_ended WHERE run IN (SELECT run FROM ended) RETURNING run
