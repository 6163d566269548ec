-- What is ready is due already.
SELECT least(
    (SELECT due_at FROM billhook.flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL ORDER BY rank LIMIT 1),
    (SELECT min(due_at) FROM billhook.flow_runs WHERE rank IS NULL AND due_at IS NOT NULL)
)
