SELECT value FROM billhook.settings WHERE key = $1
