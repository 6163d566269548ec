SELECT min(due_at) FROM billhook.flow_runs WHERE due_at IS NOT NULL
