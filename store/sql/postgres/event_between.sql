-- The second condition is the index's own.
SELECT EXISTS (
    SELECT 1 FROM billhook.inbox WHERE object_id = $1 AND object_id <> '' AND created > $2 AND created <= $3
)
