SELECT from_time, to_time, recorded_at, runs FROM billhook.gaps ORDER BY number DESC LIMIT $1
