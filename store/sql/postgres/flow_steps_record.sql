INSERT INTO billhook.flow_steps AS stored (run, step, occurrence, memo, is_final, recorded_at)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::integer[]), unnest($4::text[]), unnest($5::boolean[]), $6
ON CONFLICT (run, step, occurrence) DO UPDATE SET
    memo = excluded.memo, is_final = excluded.is_final, recorded_at = excluded.recorded_at
WHERE NOT stored.is_final
