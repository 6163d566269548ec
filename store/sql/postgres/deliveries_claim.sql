-- Hot. Removing locks the rows; `ANY` over the primary key meets them in order of sequence on every node, so two nodes wait for
-- each other only where a plan goes another way, and then one of them is rolled back and tries again.
DELETE FROM billhook.pending WHERE sequence = ANY($1) RETURNING sequence
