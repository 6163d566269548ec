-- Neither of them ever changes.
SELECT function, singleton FROM billhook.flow_runs WHERE id = $1 AND singleton IS NOT NULL
