SELECT key, refused, refused_at FROM billhook.flow_paces WHERE refused_at IS NOT NULL ORDER BY refused_at DESC, key LIMIT $1
