-- Columns that an unconditional index begins with, and whether it makes that column alone unique.
SELECT c.relname::text, a.attname::text, bool_or(i.indisunique AND i.indnkeyatts = 1)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE n.nspname = $1 AND i.indpred IS NULL AND i.indisvalid
GROUP BY 1, 2
