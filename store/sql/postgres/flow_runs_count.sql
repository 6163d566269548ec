SELECT function, state, count(*) FROM billhook.flow_runs GROUP BY function, state ORDER BY function, state
