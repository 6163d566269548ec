-- Sorted for the order of locks; the latest sight counts, whoever comes last.
INSERT INTO billhook.flow_known_functions AS known (id, seen_at)
SELECT id, $2::timestamptz FROM unnest($1::text[]) AS given (id) ORDER BY id
ON CONFLICT (id) DO UPDATE SET seen_at = greatest(known.seen_at, excluded.seen_at)
