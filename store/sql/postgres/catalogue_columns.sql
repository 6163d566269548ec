-- Every table and view of the mirror's schema with its columns.
SELECT
    c.relname::text, c.relkind::text, a.attname::text, format_type(a.atttypid, NULL), t.typtype = 'e', a.attnotnull, a.atthasdef,
    a.attgenerated <> ''
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
