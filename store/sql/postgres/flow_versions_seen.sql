INSERT INTO billhook.flow_versions (function, version, seen_at)
SELECT function, version, $3::timestamptz FROM unnest($1::text[], $2::text[]) AS known (function, version)
ORDER BY function, version
ON CONFLICT (function, version) DO UPDATE SET seen_at = greatest(billhook.flow_versions.seen_at, excluded.seen_at)
