SELECT object, count(DISTINCT id) FROM billhook.dirty GROUP BY object ORDER BY object
