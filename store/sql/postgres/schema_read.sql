-- The applied migrations and, as version 0, what the last catalogue migration brought up to date. One round trip.
SELECT version, name, checksum FROM billhook.migrations
UNION ALL
SELECT 0, key, value FROM billhook.settings WHERE key IN ('catalogue_revision', 'mirror_schema')
ORDER BY 1
