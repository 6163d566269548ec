-- What is due next, and whether anything is being executed. LEAST passes over what is null.
SELECT
    EXISTS (SELECT 1 FROM billhook.flow_runs WHERE rank IS NULL AND due_at IS NOT NULL AND state = 'running'),
    LEAST(
        (SELECT min(due_at) FROM billhook.flow_runs
            WHERE rank IS NULL AND due_at IS NOT NULL AND state <> 'running' AND function = ANY($1)),
        (SELECT min(due_at) FROM billhook.flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL AND function = ANY($1)),
        (SELECT min(expires_at) FROM billhook.flow_runs WHERE expires_at IS NOT NULL),
        (SELECT min(scheduled_at) FROM billhook.flow_events WHERE scheduled_at IS NOT NULL)
    )
