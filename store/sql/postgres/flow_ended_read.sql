-- Mostly there are none, and the planner knows no better than that there are many: OFFSET 0 keeps it from reading all runs beside them.
SELECT
    run.id, run.function, run.token, run.state, run.result, run.message, event.key, event.id, event.name, event.data, event.ts
FROM (SELECT run FROM billhook.flow_ended ORDER BY run LIMIT $1) AS ended
CROSS JOIN LATERAL (SELECT * FROM billhook.flow_runs WHERE id = ended.run OFFSET 0) AS run
CROSS JOIN LATERAL (SELECT * FROM billhook.flow_events WHERE key = run.event_key OFFSET 0) AS event
ORDER BY run.id
