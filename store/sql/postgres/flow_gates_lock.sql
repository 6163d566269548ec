-- In the order of the numbers, so that two transactions never wait for each other; the last locks of a transaction. Few numbers, since the
-- locks of a server are.
SELECT pg_advisory_xact_lock($1, given.number)
FROM (SELECT DISTINCT hashtext(gate) & 1023 AS number FROM unnest($2::text[]) AS gates (gate) ORDER BY number OFFSET 0) AS given
