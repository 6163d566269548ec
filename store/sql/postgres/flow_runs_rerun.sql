-- With the gates, the singleton key and the events of the run that it repeats.
WITH repeated AS (
    INSERT INTO billhook.flow_runs
        (id, function, dedupe_key, event_key, state, due_at, created_at, rerun_of, inbox_sequence, rank, gate_1, gate_2, events, events_max,
        singleton)
    SELECT $2::text, run.function, 'rerun/' || $2::text, run.event_key, 'queued', $3::timestamptz, $3::timestamptz, run.id,
        (SELECT coalesce(max(sequence), 0) FROM billhook.inbox), (extract(epoch FROM $3::timestamptz) * 1000)::bigint, run.gate_1,
        run.gate_2, run.events, run.events_max, run.singleton
    FROM billhook.flow_runs AS run
    WHERE run.id = $1
    RETURNING id
), joined AS (
    INSERT INTO billhook.flow_run_events (function, dedupe_key, event_key, run, position, reason, noted_at)
    SELECT function, 'rerun/' || $2::text || '/' || position, event_key, $2::text, position, reason, $3::timestamptz
    FROM billhook.flow_run_events WHERE run = $1
)
SELECT id FROM repeated
