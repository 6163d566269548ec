UPDATE billhook.flow_crons SET last_at = $4 WHERE function = $1 AND schedule = $2 AND last_at = $3
