DELETE FROM billhook.leases WHERE name = $1 AND holder = $2
