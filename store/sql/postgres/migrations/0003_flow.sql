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
-- over, parked, or stopped at a gate. One column for queue, timers and orphans.
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
    -- The order among runs that are ready to begin; empty when one has begun or waits for its time, where that is the order.
    rank bigint,
    -- Gates that it passes before it is executed, how many of them count it, and the one that stops it.
    gate_1 text COLLATE "C",
    gate_2 text COLLATE "C",
    holds smallint NOT NULL DEFAULT 0,
    blocked_on text COLLATE "C",
    blocked_places integer,
    -- Until it is claimed, further events with this key join it; of how many, and why it is not due.
    slot text COLLATE "C",
    events integer NOT NULL DEFAULT 1,
    events_max integer NOT NULL DEFAULT 1,
    pause text COLLATE "C" CHECK (pause IN ('throttle', 'debounce', 'batch')),
    -- No two runs of the function that have not ended have the same. It stays, so that a run that goes on after its end has it again.
    singleton text COLLATE "C",
    CHECK ((due_at IS NULL) = (state NOT IN ('queued', 'running', 'waiting') OR blocked_on IS NOT NULL)),
    CHECK (state IN ('queued', 'waiting') OR (rank IS NULL AND blocked_on IS NULL)),
    CHECK (holds = 0 OR state IN ('queued', 'running', 'waiting')),
    CHECK ((holder IS NOT NULL) = (state = 'running'))
) WITH (
    fillfactor = 70,
    -- Every claim begins at the head of the queue's indexes, where entries of runs that have gone stand until they are vacuumed away.
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
)
---
-- A function runs once for an event, however often it is told of it.
CREATE UNIQUE INDEX flow_runs_dedupe_idx ON billhook.flow_runs (function, dedupe_key)
---
-- With the id, so that a million runs that sleep until one time are not sorted for every claim.
CREATE INDEX flow_runs_due_idx ON billhook.flow_runs (due_at, id) WHERE rank IS NULL AND due_at IS NOT NULL
---
CREATE INDEX flow_runs_ready_idx ON billhook.flow_runs (rank, id) WHERE rank IS NOT NULL AND blocked_on IS NULL
---
CREATE INDEX flow_runs_blocked_idx ON billhook.flow_runs (blocked_on, rank, id) WHERE blocked_on IS NOT NULL
---
CREATE INDEX flow_runs_gate_1_idx ON billhook.flow_runs (gate_1) WHERE holds >= 1
---
CREATE INDEX flow_runs_gate_2_idx ON billhook.flow_runs (gate_2) WHERE holds >= 2
---
CREATE UNIQUE INDEX flow_runs_slot_idx ON billhook.flow_runs (function, slot) WHERE slot IS NOT NULL
---
CREATE UNIQUE INDEX flow_runs_singleton_idx ON billhook.flow_runs (function, singleton) WHERE singleton IS NOT NULL AND ended_at IS NULL
---
-- Events that joined a run or started none, and why. No event does so twice.
CREATE TABLE billhook.flow_run_events (
    function text COLLATE "C" NOT NULL,
    dedupe_key text COLLATE "C" NOT NULL,
    event_key text COLLATE "C" NOT NULL,
    run text COLLATE "C",
    position integer NOT NULL,
    reason text COLLATE "C" NOT NULL CHECK (reason IN ('batch', 'debounce', 'rate_limit', 'singleton')),
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (function, dedupe_key)
)
---
CREATE INDEX flow_run_events_run_idx ON billhook.flow_run_events (run, position) WHERE run IS NOT NULL
---
CREATE INDEX flow_run_events_noted_idx ON billhook.flow_run_events (noted_at) WHERE run IS NULL
---
CREATE INDEX flow_run_events_event_idx ON billhook.flow_run_events (event_key)
---
-- How fast runs start, by the keys of throttles and rate limits: when the next start is due, and what was refused.
CREATE TABLE billhook.flow_paces (
    key text COLLATE "C" PRIMARY KEY,
    next_at timestamptz NOT NULL,
    refused bigint NOT NULL DEFAULT 0,
    refused_at timestamptz
) WITH (fillfactor = 70)
---
CREATE INDEX flow_paces_refused_idx ON billhook.flow_paces (refused_at) WHERE refused_at IS NOT NULL
---
CREATE INDEX flow_paces_next_idx ON billhook.flow_paces (next_at)
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
-- Functions that some process knows, and when it last said so.
CREATE TABLE billhook.flow_known_functions (
    id text COLLATE "C" PRIMARY KEY,
    seen_at timestamptz NOT NULL
)
---
-- Runs that ended without their function, of which whoever invoked them is to be told.
CREATE TABLE billhook.flow_ended (
    run text COLLATE "C" PRIMARY KEY
)
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
