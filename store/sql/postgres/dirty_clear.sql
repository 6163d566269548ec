DELETE FROM billhook.dirty
USING (SELECT unnest($1::text[]) AS object, unnest($2::text[]) AS id) AS settled
WHERE dirty.object = settled.object AND dirty.id = settled.id AND dirty.not_before <= $3
