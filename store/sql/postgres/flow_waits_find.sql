SELECT
    wait.run, wait.kind, wait.step, wait.occurrence, wait.name, wait.path, wait.value, wait.expression, wait.until,
    event.key, event.id, event.name, event.data, event.ts
FROM (SELECT unnest($1::text[]) AS name, unnest($2::text[]) AS path, unnest($3::text[]) AS value) AS given
JOIN billhook.flow_waits AS wait ON wait.name = given.name AND wait.path = given.path AND wait.value = given.value
JOIN billhook.flow_runs AS run ON run.id = wait.run
JOIN billhook.flow_events AS event ON event.key = run.event_key
