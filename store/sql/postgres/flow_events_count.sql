UPDATE billhook.flow_events SET duplicates = duplicates + 1 WHERE key = ANY($1)
