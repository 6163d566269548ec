INSERT INTO billhook.flow_paces AS pace (key, next_at) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET next_at = excluded.next_at
