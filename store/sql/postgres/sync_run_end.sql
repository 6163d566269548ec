-- Ends the run when it has no open segment left. A statement of its own behind the lock, so that it sees what was committed
-- while the lock was waited for.
UPDATE billhook.sync_runs AS run SET
    finished_at = $2,
    state = (
        SELECT segment.ended_as FROM billhook.sync_segments AS segment
        WHERE segment.run = run.id
        ORDER BY array_position(ARRAY['failed', 'no_permission', 'not_available', 'done'], segment.ended_as::text)
        LIMIT 1
    )
WHERE run.id = $1 AND run.finished_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM billhook.sync_segments AS segment WHERE segment.run = run.id AND segment.ended_as IS NULL
    )
