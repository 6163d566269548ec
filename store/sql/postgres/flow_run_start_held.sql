-- A run that is held back, or that holds others back.
INSERT INTO billhook.flow_runs
    (id, function, dedupe_key, event_key, state, due_at, created_at, inbox_sequence, rank, gate_1, gate_2, slot, events_max, pause, singleton,
    expires_at, end_by)
VALUES ($1, $2, $3, $4, 'queued', $5, $6, (SELECT coalesce(max(sequence), 0) FROM billhook.inbox), $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (function, dedupe_key) DO NOTHING
RETURNING id
