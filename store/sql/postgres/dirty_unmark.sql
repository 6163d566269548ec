DELETE FROM billhook.dirty
USING (SELECT unnest($1::text[]) AS object, unnest($2::text[]) AS id, unnest($3::text[]) AS event_id, unnest($4::text[]) AS reason,
    unnest($5::timestamptz[]) AS not_before) AS settled
WHERE dirty.object = settled.object AND dirty.id = settled.id AND dirty.event_id = settled.event_id AND dirty.reason = settled.reason
    AND dirty.not_before <= settled.not_before
