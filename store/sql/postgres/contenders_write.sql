INSERT INTO billhook.contenders (table_name, id, event_id, "time")
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[])
ON CONFLICT (table_name, id, event_id) DO NOTHING
