-- Hot: once a page, by the primary key. The condition is the fence: a lease that was taken over or given back writes nothing.
UPDATE billhook.sync_segments SET
    cursor = $3,
    created_gte = $4,
    created_low = least(created_low, $5),
    objects = objects + $6,
    requests = requests + $7,
    message = $8,
    message_at = $9,
    attempts = 0,
    free_at = $10,
    ended_as = $11,
    holder = CASE WHEN $11::text IS NULL THEN holder END
WHERE id = $1 AND token = $2 AND holder IS NOT NULL AND ended_as IS NULL
RETURNING run
