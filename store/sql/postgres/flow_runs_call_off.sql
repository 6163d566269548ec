-- The token moves, so that whoever executes the run is refused from here on. Returns the gates that the runs leave.
WITH called_off AS (
    UPDATE billhook.flow_runs AS run SET
        state = 'cancelled', due_at = NULL, holder = NULL, token = run.token + 1, message = given.message, ended_at = $3,
        expires_at = NULL, parked_at = NULL,
        rank = NULL, holds = 0, blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL
    FROM (SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS message) AS given
    WHERE run.id = given.id AND run.state IN ('queued', 'running', 'waiting', 'parked')
    RETURNING run.id, run.gate_1, run.gate_2
), forgotten AS (
    DELETE FROM billhook.flow_waits WHERE run IN (SELECT id FROM called_off)
), noted AS (
    INSERT INTO billhook.flow_ended (run) SELECT id FROM called_off ON CONFLICT (run) DO NOTHING
)
SELECT id, gate_1, gate_2 FROM called_off
