WITH removed AS (
    DELETE FROM billhook.drift
    WHERE number IN (
        SELECT number FROM billhook.drift WHERE confirmed_at IS NOT NULL AND confirmed_at < $1 ORDER BY confirmed_at LIMIT $2
    )
    RETURNING number
)
SELECT count(*) FROM removed
