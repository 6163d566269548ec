-- Events that started a run or ended a wait, as functions see them.
CREATE TABLE billhook.flow_events (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    data text COMPRESSION lz4 NOT NULL,
    ts timestamptz NOT NULL,
    received_at timestamptz NOT NULL
)
---
-- Executions of functions. due_at is when a run may be claimed; while somebody holds it, the end of the lease; empty when the run is
-- over or parked. One column and one index for queue, timers and orphans.
CREATE TABLE billhook.flow_runs (
    id text COLLATE "C" PRIMARY KEY,
    function text COLLATE "C" NOT NULL,
    dedupe_key text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'parked', 'succeeded', 'failed', 'cancelled', 'expired')),
    due_at timestamptz,
    token bigint NOT NULL DEFAULT 0,
    holder text COLLATE "C",
    failures integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    result text COMPRESSION lz4,
    message text,
    rerun_of text COLLATE "C",
    CHECK ((due_at IS NULL) = (state NOT IN ('queued', 'running', 'waiting'))),
    CHECK ((holder IS NOT NULL) = (state = 'running'))
) WITH (fillfactor = 70)
---
-- A function runs once for an event, however often it is told of it.
CREATE UNIQUE INDEX flow_runs_dedupe_idx ON billhook.flow_runs (function, dedupe_key)
---
CREATE INDEX flow_runs_due_idx ON billhook.flow_runs (due_at) WHERE due_at IS NOT NULL
---
-- What is recorded of steps and waits. What is final never changes.
CREATE TABLE billhook.flow_steps (
    run text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    occurrence integer NOT NULL,
    memo text COMPRESSION lz4 NOT NULL,
    is_final boolean NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (run, step, occurrence)
)
---
CREATE INDEX flow_runs_event_idx ON billhook.flow_runs (event_id)
---
CREATE INDEX flow_events_received_idx ON billhook.flow_events (received_at, id)
---
-- Functions that start and continue no runs until somebody resumes them.
CREATE TABLE billhook.flow_functions (
    id text COLLATE "C" PRIMARY KEY,
    paused_at timestamptz NOT NULL,
    reason text NOT NULL
)
---
-- Who called off many runs at once, and how many they were.
CREATE TABLE billhook.flow_cancellations (
    id text COLLATE "C" PRIMARY KEY,
    function text COLLATE "C" NOT NULL,
    event_id text COLLATE "C",
    created_after timestamptz,
    created_before timestamptz NOT NULL,
    reason text NOT NULL,
    requested_at timestamptz NOT NULL,
    runs bigint NOT NULL
)
