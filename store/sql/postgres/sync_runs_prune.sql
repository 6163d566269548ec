WITH removed AS (
    DELETE FROM billhook.sync_runs
    WHERE id IN (SELECT id FROM billhook.sync_runs WHERE finished_at < $1 ORDER BY id LIMIT $2)
    RETURNING id
), parts AS (
    DELETE FROM billhook.sync_segments USING removed WHERE sync_segments.run = removed.id
)
SELECT count(*) FROM removed
