UPDATE billhook.sync_segments SET holder = NULL, free_at = $2 WHERE holder = $1 AND ended_as IS NULL
