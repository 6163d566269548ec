WITH failed AS (
    UPDATE billhook.flow_runs SET state = 'failed', parked_at = NULL, expires_at = NULL, ended_at = $2, message = 'parked: ' || message
    WHERE id = $1 AND state = 'parked'
    RETURNING id
), forgotten AS (
    DELETE FROM billhook.flow_waits WHERE run IN (SELECT id FROM failed)
)
SELECT id FROM failed
