UPDATE billhook.sync_segments SET
    holder = NULL, free_at = $3, attempts = attempts + 1, message = $4, message_at = $5
WHERE id = $1 AND token = $2 AND holder IS NOT NULL AND ended_as IS NULL
