-- Hot: for every batch of events. One step in the index for each path that waits for a name look at, however many waits there are.
WITH RECURSIVE paths AS (
    SELECT given.name, first.path
    FROM unnest($1::text[]) AS given (name)
    CROSS JOIN LATERAL (
        SELECT path FROM billhook.flow_waits WHERE flow_waits.name = given.name ORDER BY path LIMIT 1
    ) AS first
    UNION ALL
    SELECT paths.name, following.path
    FROM paths
    CROSS JOIN LATERAL (
        SELECT path FROM billhook.flow_waits
        WHERE flow_waits.name = paths.name AND flow_waits.path > paths.path
        ORDER BY path LIMIT 1
    ) AS following
)
SELECT name, path FROM paths
