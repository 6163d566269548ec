SELECT id, function, event_key, state, due_at, failures, created_at, started_at, ended_at, result, message
FROM billhook.flow_runs WHERE id = $1
