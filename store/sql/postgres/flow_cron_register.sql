INSERT INTO billhook.flow_crons (function, schedule, last_at) VALUES ($1, $2, $3)
ON CONFLICT (function, schedule) DO UPDATE SET function = excluded.function
RETURNING last_at
