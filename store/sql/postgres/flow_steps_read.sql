SELECT run, step, occurrence, memo FROM billhook.flow_steps WHERE run = ANY($1) ORDER BY run, recorded_at, step, occurrence
