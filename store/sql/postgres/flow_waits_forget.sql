-- What calls a run off stays when it failed: somebody may let it go on.
DELETE FROM billhook.flow_waits WHERE run = ANY($1) AND (kind = 'event' OR NOT run = ANY($2))
