SELECT id, url, api_version, secret, created_at, retire_at FROM billhook.webhook_endpoints ORDER BY created_at, id
