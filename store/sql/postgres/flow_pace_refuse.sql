UPDATE billhook.flow_paces SET refused = refused + 1, refused_at = $2 WHERE key = $1
