INSERT INTO billhook.flow_ended (run) VALUES ($1) ON CONFLICT (run) DO NOTHING
