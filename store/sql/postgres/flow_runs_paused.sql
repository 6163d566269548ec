SELECT id, paused_at, reason FROM billhook.flow_functions ORDER BY id
