SELECT step, occurrence, memo, is_final, recorded_at FROM billhook.flow_steps WHERE run = $1
ORDER BY recorded_at, step, occurrence
