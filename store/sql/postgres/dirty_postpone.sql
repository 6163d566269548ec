UPDATE billhook.dirty SET not_before = $3
FROM (SELECT unnest($1::text[]) AS object, unnest($2::text[]) AS id) AS unread
WHERE dirty.object = unread.object AND dirty.id = unread.id AND dirty.not_before < $3
