WITH dismissed AS (
    DELETE FROM billhook.drift WHERE number = ANY($2) AND confirmed_at IS NULL
)
UPDATE billhook.drift SET confirmed_at = $3 WHERE number = ANY($1) AND confirmed_at IS NULL AND number <> ALL($2)
