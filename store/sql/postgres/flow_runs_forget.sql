-- Memos that begin in one of these ways.
DELETE FROM billhook.flow_steps
WHERE run = $1 AND EXISTS (SELECT 1 FROM unnest($2::text[]) AS beginning WHERE starts_with(memo, beginning))
