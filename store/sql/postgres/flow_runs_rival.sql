-- The run that has not ended and has the singleton key of this one; it may be this one.
SELECT rival.id
FROM billhook.flow_runs AS run JOIN billhook.flow_runs AS rival ON rival.function = run.function AND rival.singleton = run.singleton
WHERE run.id = $1 AND rival.ended_at IS NULL
