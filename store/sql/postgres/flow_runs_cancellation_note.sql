INSERT INTO billhook.flow_cancellations AS noted
    (id, function, event_id, created_after, created_before, reason, requested_at, runs)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET runs = noted.runs + excluded.runs
