INSERT INTO billhook.flow_events (id, name, data, ts, received_at)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::timestamptz[]), unnest($5::timestamptz[])
ON CONFLICT (id) DO NOTHING
