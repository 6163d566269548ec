SELECT count(*) FROM billhook.flow_runs
WHERE function = $1 AND state = ANY($2) AND created_at < $3
    AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::text IS NULL OR event_key IN (SELECT key FROM billhook.flow_events WHERE id = $5))
