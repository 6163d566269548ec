DELETE FROM billhook.contenders
USING (SELECT unnest($2::text[]) AS id, unnest($3::bigint[]) AS "time") AS settled
WHERE contenders.table_name = $1 AND contenders.id = settled.id AND contenders."time" < settled."time"
