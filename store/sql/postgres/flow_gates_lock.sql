-- In the order of the numbers, so that two transactions never wait for each other; the last locks of a transaction.
SELECT pg_advisory_xact_lock($1, given.number)
FROM (SELECT DISTINCT hashtext(gate) AS number FROM unnest($2::text[]) AS gates (gate) ORDER BY number OFFSET 0) AS given
