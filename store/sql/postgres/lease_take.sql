INSERT INTO billhook.leases AS stored (name, holder, until) VALUES ($1, $2, $4)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE stored.holder = excluded.holder OR stored.until <= $3
