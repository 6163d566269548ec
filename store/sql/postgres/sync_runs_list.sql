-- $1 is one run, $2 whether only open ones are wanted.
SELECT
    run.id, run.object, run.created_gte, run.created_lt, run.trigger, run.related, run.state, run.requested_at, run.finished_at,
    total.objects, total.requests, total.segments_open, total.segments_all, total.created_low, total.seconds_unread,
    coalesce((
        SELECT segment.message FROM billhook.sync_segments AS segment
        WHERE segment.run = run.id AND segment.message <> ''
        ORDER BY segment.message_at DESC, segment.id DESC LIMIT 1
    ), '') AS message
FROM billhook.sync_runs AS run
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(segment.objects), 0)::bigint AS objects,
        coalesce(sum(segment.requests), 0)::bigint AS requests,
        count(*) FILTER (WHERE segment.ended_as IS NULL) AS segments_open,
        count(*) AS segments_all,
        CASE WHEN bool_and(segment.ended_as IS NOT NULL OR coalesce(segment.created_low, segment.created_lt) IS NOT NULL)
            THEN max(coalesce(segment.created_low, segment.created_lt)) FILTER (WHERE segment.ended_as IS NULL)
        END AS created_low,
        CASE WHEN bool_and(
            segment.ended_as IS NOT NULL OR coalesce(segment.created_low, segment.created_lt) - segment.created_gte IS NOT NULL
        ) THEN coalesce(
            sum(greatest(coalesce(segment.created_low, segment.created_lt) - segment.created_gte, 0))
                FILTER (WHERE segment.ended_as IS NULL),
            0
        )::bigint END AS seconds_unread
    FROM billhook.sync_segments AS segment WHERE segment.run = run.id
) AS total
WHERE ($1::bigint IS NULL OR run.id = $1) AND (NOT $2::boolean OR run.finished_at IS NULL)
ORDER BY run.id DESC
LIMIT $3
