INSERT INTO billhook.flow_waits (run, kind, step, occurrence, name, path, value, expression, until)
SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::integer[]), unnest($5::text[]), unnest($6::text[]),
    unnest($7::text[]), unnest($8::text[]), unnest($9::timestamptz[])
ON CONFLICT (run, kind, step, occurrence) DO NOTHING
