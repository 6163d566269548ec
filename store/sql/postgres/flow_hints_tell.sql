-- A transaction of its own: a notification takes a lock at its commit that all commits of the server with notifications share.
SELECT pg_notify('billhook_flow', '')
