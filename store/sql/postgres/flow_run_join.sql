-- One more event of a run that gathers. What stands at a gate goes on gathering there. Its times count from the event that it begins with.
UPDATE billhook.flow_runs SET
    events = $2,
    event_key = coalesce($5, event_key),
    expires_at = CASE WHEN $5::text IS NULL THEN expires_at ELSE $6 END,
    end_by = CASE WHEN $5::text IS NULL THEN end_by ELSE $7 END,
    slot = CASE WHEN $4 THEN NULL ELSE slot END,
    due_at = CASE WHEN blocked_on IS NULL THEN coalesce($3, due_at) END
WHERE id = $1
