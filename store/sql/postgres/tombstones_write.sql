INSERT INTO billhook.tombstones AS stored (table_name, id, "time", source_event, base_time)
SELECT $1, unnest($2::text[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::bigint[])
ON CONFLICT (table_name, id) DO UPDATE SET
    "time" = excluded."time", source_event = excluded.source_event, base_time = excluded.base_time
WHERE stored."time" <= excluded."time"
