SELECT id, event_id, "time" FROM billhook.contenders WHERE table_name = $1 AND id = ANY($2) ORDER BY id, "time", event_id
