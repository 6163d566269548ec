-- One more event of a run that gathers. What stands at a gate goes on gathering there.
UPDATE billhook.flow_runs SET
    events = $2,
    event_key = coalesce($5, event_key),
    slot = CASE WHEN $4 THEN NULL ELSE slot END,
    due_at = CASE WHEN blocked_on IS NULL THEN coalesce($3, due_at) END
WHERE id = $1
