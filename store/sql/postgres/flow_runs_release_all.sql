-- They keep their places at gates.
UPDATE billhook.flow_runs SET
    state = 'queued', due_at = $1, holder = NULL, is_nudged = false, token = token + 1, crashes = greatest(crashes, 1)
WHERE rank IS NULL AND due_at IS NOT NULL AND state = 'running'
