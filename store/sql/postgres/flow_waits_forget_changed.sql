DELETE FROM billhook.flow_waits WHERE run = $1 AND (kind = 'event' OR $2)
