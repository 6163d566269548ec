INSERT INTO billhook.flow_events (key, id, name, data, ts, received_at, scheduled_at, schedule_key)
SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::timestamptz[]), $6,
    unnest($7::timestamptz[]), unnest($8::text[])
ON CONFLICT (key) DO NOTHING
RETURNING key
