-- Hot: in the transaction that applies an event. The unique index makes a second delivery no second run.
INSERT INTO billhook.flow_runs
    (id, function, dedupe_key, event_key, state, due_at, created_at, inbox_sequence, expires_at, end_by, rank, gate_1, gate_2)
SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), 'queued', unnest($5::timestamptz[]), $6,
    (SELECT coalesce(max(sequence), 0) FROM billhook.inbox), unnest($7::timestamptz[]), unnest($8::timestamptz[]),
    unnest($9::bigint[]), unnest($10::text[]), unnest($11::text[])
ON CONFLICT (function, dedupe_key) DO NOTHING
RETURNING id
