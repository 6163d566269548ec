DELETE FROM billhook.tombstones WHERE table_name = $1 AND id = ANY($2)
