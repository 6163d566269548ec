SELECT count(*), min(received_at) FROM billhook.pending
