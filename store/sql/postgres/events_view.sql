-- Stripe's events as a table of the mirror, read from the inbox. The body is parsed at most once a row and only when a column
-- needs it: OFFSET 0 keeps the inner query apart, and its unused output is dropped by the planner.
CREATE OR REPLACE VIEW {mirror}.events AS
SELECT
    inbox.event_id COLLATE "default" AS id,
    coalesce(event.body ->> 'object', 'event') AS object,
    event.body -> 'data' AS data,
    inbox.event_type COLLATE "default" AS type,
    inbox.created,
    event.body ->> 'request' AS request,
    NULL::bigint AS updated,
    inbox.livemode,
    nullif(inbox.api_version, '') COLLATE "default" AS api_version,
    CASE
        WHEN event.body ->> 'pending_webhooks' ~ '^-?[0-9]{1,18}$' THEN (event.body ->> 'pending_webhooks')::bigint
    END AS pending_webhooks,
    inbox.received_at AS updated_at,
    inbox.received_at AS last_synced_at,
    nullif(inbox.account, '') COLLATE "default" AS account,
    event.body ->> 'context' AS context,
    event.body AS _raw_data,
    inbox.account COLLATE "default" AS _account_id,
    inbox.received_at AS _last_synced_at,
    inbox.received_at AS _updated_at
FROM billhook.inbox AS inbox
CROSS JOIN LATERAL (SELECT billhook.event_json(inbox.raw) AS body OFFSET 0) AS event
