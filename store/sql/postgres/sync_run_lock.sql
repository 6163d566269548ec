-- Before a segment ends: two that end at the same time must see each other, so that one of them ends the run.
SELECT run.id FROM billhook.sync_runs AS run
WHERE run.id = (SELECT segment.run FROM billhook.sync_segments AS segment WHERE segment.id = $1)
FOR NO KEY UPDATE
