SELECT
    given.gate,
    (SELECT count(*) FROM billhook.flow_runs WHERE gate_1 = given.gate AND holds >= 1)
        + (SELECT count(*) FROM billhook.flow_runs WHERE gate_2 = given.gate AND holds >= 2)
FROM unnest($1::text[]) AS given (gate)
