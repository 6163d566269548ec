SELECT object, count(*) FILTER (WHERE confirmed_at IS NULL), count(confirmed_at) FROM billhook.drift
GROUP BY object
ORDER BY object
