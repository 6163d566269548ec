-- Events that started a run or ended a wait, as functions see them.
CREATE TABLE billhook_flow_events (
    id          TEXT     NOT NULL PRIMARY KEY,
    name        TEXT     NOT NULL,
    data        TEXT     NOT NULL,
    ts          DATETIME NOT NULL,
    received_at DATETIME NOT NULL
) WITHOUT ROWID;

-- Executions of functions. due_at is when a run may be claimed; while somebody holds it, the end of the lease; empty when the run is
-- over or parked. One column and one index for queue, timers and orphans.
CREATE TABLE billhook_flow_runs (
    id         TEXT     NOT NULL PRIMARY KEY,
    function   TEXT     NOT NULL,
    dedupe_key TEXT     NOT NULL,
    event_id   TEXT     NOT NULL,
    state      TEXT     NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'parked', 'succeeded', 'failed', 'cancelled', 'expired')),
    due_at     DATETIME,
    token      BIGINT   NOT NULL DEFAULT 0,
    holder     TEXT,
    failures   INTEGER  NOT NULL DEFAULT 0,
    created_at DATETIME NOT NULL,
    started_at DATETIME,
    ended_at   DATETIME,
    result     TEXT,
    message    TEXT,
    rerun_of   TEXT,
    CHECK ((due_at IS NULL) = (state NOT IN ('queued', 'running', 'waiting'))),
    CHECK ((holder IS NOT NULL) = (state = 'running'))
);

-- A function runs once for an event, however often it is told of it.
CREATE UNIQUE INDEX billhook_flow_runs_dedupe_idx ON billhook_flow_runs (function, dedupe_key);

CREATE INDEX billhook_flow_runs_due_idx ON billhook_flow_runs (due_at) WHERE due_at IS NOT NULL;

-- What is recorded of steps and waits. What is final never changes.
CREATE TABLE billhook_flow_steps (
    run         TEXT     NOT NULL,
    step        TEXT     NOT NULL,
    occurrence  INTEGER  NOT NULL,
    memo        TEXT     NOT NULL,
    is_final    BOOLEAN  NOT NULL,
    recorded_at DATETIME NOT NULL,
    PRIMARY KEY (run, step, occurrence)
) WITHOUT ROWID;

CREATE INDEX billhook_flow_runs_event_idx ON billhook_flow_runs (event_id);

CREATE INDEX billhook_flow_events_received_idx ON billhook_flow_events (received_at, id);

-- Functions that start and continue no runs until somebody resumes them.
CREATE TABLE billhook_flow_functions (
    id        TEXT     NOT NULL PRIMARY KEY,
    paused_at DATETIME NOT NULL,
    reason    TEXT     NOT NULL
) WITHOUT ROWID;

-- Who called off many runs at once, and how many they were.
CREATE TABLE billhook_flow_cancellations (
    id             TEXT     NOT NULL PRIMARY KEY,
    function       TEXT     NOT NULL,
    event_id       TEXT,
    created_after  DATETIME,
    created_before DATETIME NOT NULL,
    reason         TEXT     NOT NULL,
    requested_at   DATETIME NOT NULL,
    runs           BIGINT   NOT NULL
) WITHOUT ROWID;
