-- By the primary key, from where the run began.
SELECT raw FROM billhook.inbox
WHERE sequence > (SELECT inbox_sequence FROM billhook.flow_runs WHERE id = $1) - $2 AND event_type = $3 AND received_at >= $4
ORDER BY sequence LIMIT $5 OFFSET $6
