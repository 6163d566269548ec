-- Events that started a run or ended a wait, as functions see them.
CREATE TABLE billhook.flow_events (
    -- The id with where the event comes from: an id that a user chose never meets one of Stripe's.
    key text COLLATE "C" PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    data text COMPRESSION lz4 NOT NULL,
    ts timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    -- Until this time nobody has seen it; empty as soon as it has started and ended what it was meant for.
    scheduled_at timestamptz,
    -- Of the scheduled events of one name only one has this key.
    schedule_key text COLLATE "C",
    cancelled_at timestamptz,
    duplicates integer NOT NULL DEFAULT 0
)
---
CREATE INDEX flow_events_name_idx ON billhook.flow_events (name, received_at)
---
CREATE INDEX flow_events_scheduled_idx ON billhook.flow_events (scheduled_at) WHERE scheduled_at IS NOT NULL
---
CREATE UNIQUE INDEX flow_events_schedule_key_idx ON billhook.flow_events (name, schedule_key) WHERE scheduled_at IS NOT NULL
---
-- Executions of functions. due_at is when a run may be claimed; while somebody holds it, the end of the lease; empty when the run is
-- over or parked. One column and one index for queue, timers and orphans.
CREATE TABLE billhook.flow_runs (
    id text COLLATE "C" PRIMARY KEY,
    function text COLLATE "C" NOT NULL,
    dedupe_key text COLLATE "C" NOT NULL,
    event_key text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'parked', 'succeeded', 'failed', 'cancelled', 'expired')),
    due_at timestamptz,
    token bigint NOT NULL DEFAULT 0,
    holder text COLLATE "C",
    failures integer NOT NULL DEFAULT 0,
    -- Workers that died while they had it, since it last got on.
    crashes integer NOT NULL DEFAULT 0,
    -- Something it waits for came while it was executed: it does not rest when it is given back.
    is_nudged boolean NOT NULL DEFAULT false,
    -- The newest delivery when it began: what it waits for cannot stand long before.
    inbox_sequence bigint NOT NULL,
    -- The version of the function with which it began; empty until it is first executed.
    version text COLLATE "C",
    -- When it has to have begun, and after that when it has to have ended; empty when there is no such time.
    expires_at timestamptz,
    end_by timestamptz,
    parked_at timestamptz,
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
-- What ends a wait or calls off a run. path and value are the part of the condition that an index can look up, both empty when there
-- is none; expression is the whole of it.
CREATE TABLE billhook.flow_waits (
    run text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('event', 'cancel')),
    step text COLLATE "C" NOT NULL,
    occurrence integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    expression text COLLATE "C" NOT NULL,
    until timestamptz,
    PRIMARY KEY (run, kind, step, occurrence)
)
---
CREATE INDEX flow_waits_name_idx ON billhook.flow_waits (name, path, value)
---
CREATE INDEX flow_runs_expires_idx ON billhook.flow_runs (expires_at) WHERE expires_at IS NOT NULL
---
CREATE INDEX flow_runs_parked_idx ON billhook.flow_runs (parked_at) WHERE parked_at IS NOT NULL
---
CREATE INDEX flow_runs_ended_idx ON billhook.flow_runs (ended_at) WHERE ended_at IS NOT NULL
---
-- For "what did this event start", and for the events that nothing needs any more.
CREATE INDEX flow_runs_event_idx ON billhook.flow_runs (event_key)
---
-- Schedules of functions. They live here, so that a time which comes while nobody runs is not forgotten.
CREATE TABLE billhook.flow_crons (
    function text COLLATE "C" NOT NULL,
    schedule text COLLATE "C" NOT NULL,
    -- The latest time that was started or passed over.
    last_at timestamptz NOT NULL,
    PRIMARY KEY (function, schedule)
)
---
CREATE INDEX flow_events_id_idx ON billhook.flow_events (id)
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
---
-- Versions of functions whose runs are executed by that version alone, and when a process last had them.
CREATE TABLE billhook.flow_versions (
    function text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (function, version)
)
