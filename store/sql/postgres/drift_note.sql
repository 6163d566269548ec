INSERT INTO billhook.drift (object, id, kind, detail, previous_time, previous_event, read_at, found_at)
SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::bigint[]), unnest($6::text[]),
    unnest($7::bigint[]), unnest($8::timestamptz[])
