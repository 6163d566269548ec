SELECT id FROM billhook.flow_runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE
