-- A pace whose next start was due long ago says no more than none.
DELETE FROM billhook.flow_paces WHERE key IN (
    SELECT key FROM billhook.flow_paces WHERE next_at < $1 ORDER BY next_at LIMIT $2
)
