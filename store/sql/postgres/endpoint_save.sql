INSERT INTO billhook.webhook_endpoints (id, url, api_version, secret, created_at, retire_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET
    url = excluded.url, api_version = excluded.api_version, secret = excluded.secret, created_at = excluded.created_at,
    retire_at = excluded.retire_at
