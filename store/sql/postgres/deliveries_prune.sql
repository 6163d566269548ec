-- Looks at the oldest deliveries by order of arrival, which is the order of time but for the clocks' skew between nodes: a
-- search by time would read the whole inbox whenever there is nothing to remove.
WITH oldest AS (
    SELECT sequence, received_at FROM billhook.inbox
    WHERE NOT EXISTS (SELECT 1 FROM billhook.pending WHERE pending.sequence = inbox.sequence)
        AND NOT EXISTS (
            SELECT 1 FROM billhook.quarantine WHERE quarantine.sequence = inbox.sequence AND closed_at IS NULL
        )
    ORDER BY sequence
    LIMIT $2
), removed AS (
    DELETE FROM billhook.inbox USING oldest
    WHERE inbox.sequence = oldest.sequence AND oldest.received_at < $1
    RETURNING inbox.sequence
), forgotten AS (
    DELETE FROM billhook.quarantine USING removed WHERE quarantine.sequence = removed.sequence
)
SELECT count(*) FROM removed
