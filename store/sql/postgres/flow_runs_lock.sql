SELECT state, message FROM billhook.flow_runs WHERE id = $1 FOR NO KEY UPDATE
