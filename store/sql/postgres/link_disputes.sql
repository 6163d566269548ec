-- After disputes were written: the charge each one is about.
UPDATE {mirror}.charges AS charge SET dispute = written.id
FROM (
    SELECT DISTINCT ON (dispute.charge) dispute.charge, dispute.id
    FROM {mirror}.disputes AS dispute
    WHERE dispute.id = ANY($1) AND dispute.charge IS NOT NULL
    ORDER BY dispute.charge, dispute.created DESC NULLS LAST, dispute.id
) AS written
WHERE charge.id = written.charge AND charge.dispute IS NULL
