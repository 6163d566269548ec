-- A second pause gives another reason; the first one's time stays.
INSERT INTO billhook.flow_functions (id, paused_at, reason) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET reason = excluded.reason
