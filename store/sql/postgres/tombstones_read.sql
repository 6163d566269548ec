SELECT id, "time", source_event, base_time FROM billhook.tombstones WHERE table_name = $1 AND id = ANY($2)
