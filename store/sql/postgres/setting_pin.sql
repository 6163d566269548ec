-- Empty when another session pins the same key at this moment: ask again.
WITH pinned AS (
    INSERT INTO billhook.settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING RETURNING value
)
SELECT value FROM pinned
UNION ALL
SELECT value FROM billhook.settings WHERE key = $1
