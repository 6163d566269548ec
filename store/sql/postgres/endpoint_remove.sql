DELETE FROM billhook.webhook_endpoints WHERE id = $1
