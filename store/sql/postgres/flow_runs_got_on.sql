UPDATE billhook.flow_runs SET crashes = 0 WHERE id = ANY($1) AND crashes > 0
