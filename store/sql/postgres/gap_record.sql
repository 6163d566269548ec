INSERT INTO billhook.gaps (from_time, to_time, recorded_at, runs) VALUES ($1, $2, $3, $4)
