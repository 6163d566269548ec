-- Hot. Locks in order of sequence, so that two nodes never wait for each other; then removes.
WITH held AS MATERIALIZED (
    SELECT sequence FROM billhook.pending WHERE sequence = ANY($1) ORDER BY sequence FOR UPDATE
)
DELETE FROM billhook.pending USING held WHERE pending.sequence = held.sequence RETURNING pending.sequence
