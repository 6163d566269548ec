DELETE FROM billhook.flow_waits WHERE run = ANY($1)
