-- Hot. Inbox and queue in one statement, so that a batch costs one round trip, one implicit transaction and one fsync.
WITH arrived AS (
    INSERT INTO billhook.inbox (
        event_id, event_type, object, object_id, account, api_version, snapshot_event, created, livemode, received_at,
        secret_index, raw, sha256
    )
    SELECT
        unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]),
        unnest($7::text[]), unnest($8::bigint[]), unnest($9::boolean[]), unnest($10::timestamptz[]), unnest($11::smallint[]),
        unnest($12::bytea[]), unnest($13::bytea[])
    ON CONFLICT (event_id) DO NOTHING
    RETURNING sequence, event_id, received_at
), queued AS (
    INSERT INTO billhook.pending (sequence, received_at) SELECT sequence, received_at FROM arrived
)
SELECT sequence, event_id FROM arrived
