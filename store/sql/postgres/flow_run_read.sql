SELECT
    id, function, event_key, state, due_at, failures, created_at, started_at, ended_at, result, message, blocked_on,
    (SELECT count(*) FROM billhook.flow_runs AS other WHERE other.gate_1 = run.blocked_on AND other.holds >= 1)
        + (SELECT count(*) FROM billhook.flow_runs AS other WHERE other.gate_2 = run.blocked_on AND other.holds >= 2),
    blocked_places, pause, events, events_max
FROM billhook.flow_runs AS run WHERE id = $1
