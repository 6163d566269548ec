-- In the order of the numbers, so that two transactions never wait for each other; names with one number are one lock.
SELECT
    CASE
        WHEN given.registers THEN pg_advisory_xact_lock($1, given.number)
        ELSE pg_advisory_xact_lock_shared($1, given.number)
    END
FROM (
    SELECT hashtext(name) AS number, bool_or(registers) AS registers
    FROM (SELECT unnest($2::text[]) AS name, unnest($3::boolean[]) AS registers) AS names
    GROUP BY hashtext(name)
    ORDER BY hashtext(name)
    OFFSET 0
) AS given
