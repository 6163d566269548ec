-- Events that started a run or ended a wait, as functions see them.
CREATE TABLE billhook_flow_events (
    -- The id with where the event comes from: an id that a user chose never meets one of Stripe's.
    key          TEXT     NOT NULL PRIMARY KEY,
    id           TEXT     NOT NULL,
    name         TEXT     NOT NULL,
    data         TEXT     NOT NULL,
    ts           DATETIME NOT NULL,
    received_at  DATETIME NOT NULL,
    -- Until this time nobody has seen it; empty as soon as it has started and ended what it was meant for.
    scheduled_at DATETIME,
    -- Of the scheduled events of one name only one has this key.
    schedule_key TEXT,
    cancelled_at DATETIME,
    duplicates   INTEGER  NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX billhook_flow_events_name_idx ON billhook_flow_events (name, received_at);

CREATE INDEX billhook_flow_events_scheduled_idx ON billhook_flow_events (scheduled_at) WHERE scheduled_at IS NOT NULL;

CREATE UNIQUE INDEX billhook_flow_events_schedule_key_idx
    ON billhook_flow_events (name, schedule_key) WHERE scheduled_at IS NOT NULL;

-- Executions of functions. due_at is when a run may be claimed; while somebody holds it, the end of the lease; empty when the run is
-- over, parked, or stopped at a gate. One column for queue, timers and orphans.
CREATE TABLE billhook_flow_runs (
    id         TEXT     NOT NULL PRIMARY KEY,
    function   TEXT     NOT NULL,
    dedupe_key TEXT     NOT NULL,
    event_key  TEXT     NOT NULL,
    state      TEXT     NOT NULL
        CHECK (state IN ('queued', 'running', 'waiting', 'parked', 'succeeded', 'failed', 'cancelled', 'expired')),
    due_at     DATETIME,
    token      BIGINT   NOT NULL DEFAULT 0,
    holder     TEXT,
    failures   INTEGER  NOT NULL DEFAULT 0,
    -- Workers that died while they had it, since it last got on.
    crashes    INTEGER  NOT NULL DEFAULT 0,
    -- Something it waits for came while it was executed: it does not rest when it is given back.
    is_nudged  BOOLEAN  NOT NULL DEFAULT FALSE,
    -- The newest delivery when it began: what it waits for cannot stand long before.
    inbox_sequence BIGINT NOT NULL,
    -- The version of the function with which it began; empty until it is first executed.
    version    TEXT,
    -- When it has to have begun, and after that when it has to have ended; empty when there is no such time.
    expires_at DATETIME,
    end_by     DATETIME,
    parked_at  DATETIME,
    created_at DATETIME NOT NULL,
    started_at DATETIME,
    ended_at   DATETIME,
    result     TEXT,
    message    TEXT,
    rerun_of   TEXT,
    -- The order among runs that are ready to begin; empty when one has begun or waits for its time, where that is the order.
    rank       BIGINT,
    -- Gates that it passes before it is executed, how many of them count it, and the one that stops it.
    gate_1     TEXT,
    gate_2     TEXT,
    holds      INTEGER  NOT NULL DEFAULT 0,
    blocked_on TEXT,
    blocked_places INTEGER,
    -- Until it is claimed, further events with this key join it; of how many, and why it is not due.
    slot       TEXT,
    events     INTEGER  NOT NULL DEFAULT 1,
    events_max INTEGER  NOT NULL DEFAULT 1,
    pause      TEXT     CHECK (pause IN ('throttle', 'debounce', 'batch')),
    -- No two runs of the function that have not ended have the same. It stays, so that a run that goes on after its end has it again.
    singleton  TEXT,
    CHECK ((due_at IS NULL) = (state NOT IN ('queued', 'running', 'waiting') OR blocked_on IS NOT NULL)),
    CHECK (state IN ('queued', 'waiting') OR (rank IS NULL AND blocked_on IS NULL)),
    CHECK (holds = 0 OR state IN ('queued', 'running', 'waiting')),
    CHECK ((holder IS NOT NULL) = (state = 'running'))
);

-- A function runs once for an event, however often it is told of it.
CREATE UNIQUE INDEX billhook_flow_runs_dedupe_idx ON billhook_flow_runs (function, dedupe_key);

-- With the id, so that a million runs that sleep until one time are not sorted for every claim.
CREATE INDEX billhook_flow_runs_due_idx ON billhook_flow_runs (due_at, id) WHERE rank IS NULL AND due_at IS NOT NULL;

CREATE INDEX billhook_flow_runs_ready_idx ON billhook_flow_runs (rank, id) WHERE rank IS NOT NULL AND blocked_on IS NULL;

CREATE INDEX billhook_flow_runs_blocked_idx ON billhook_flow_runs (blocked_on, rank, id) WHERE blocked_on IS NOT NULL;

CREATE INDEX billhook_flow_runs_gate_1_idx ON billhook_flow_runs (gate_1) WHERE holds >= 1;

CREATE INDEX billhook_flow_runs_gate_2_idx ON billhook_flow_runs (gate_2) WHERE holds >= 2;

CREATE UNIQUE INDEX billhook_flow_runs_slot_idx ON billhook_flow_runs (function, slot) WHERE slot IS NOT NULL;

CREATE UNIQUE INDEX billhook_flow_runs_singleton_idx
    ON billhook_flow_runs (function, singleton) WHERE singleton IS NOT NULL AND ended_at IS NULL;

-- Events that joined a run or started none, and why. No event does so twice.
CREATE TABLE billhook_flow_run_events (
    function   TEXT     NOT NULL,
    dedupe_key TEXT     NOT NULL,
    event_key  TEXT     NOT NULL,
    run        TEXT,
    position   INTEGER  NOT NULL,
    reason     TEXT     NOT NULL CHECK (reason IN ('batch', 'debounce', 'rate_limit', 'singleton')),
    noted_at   DATETIME NOT NULL,
    PRIMARY KEY (function, dedupe_key)
) WITHOUT ROWID;

CREATE INDEX billhook_flow_run_events_run_idx ON billhook_flow_run_events (run, position) WHERE run IS NOT NULL;

CREATE INDEX billhook_flow_run_events_noted_idx ON billhook_flow_run_events (noted_at) WHERE run IS NULL;

CREATE INDEX billhook_flow_run_events_event_idx ON billhook_flow_run_events (event_key);

-- How fast runs start, by the keys of throttles and rate limits: when the next start is due, and what was refused.
CREATE TABLE billhook_flow_paces (
    key        TEXT     NOT NULL PRIMARY KEY,
    next_at    DATETIME NOT NULL,
    refused    BIGINT   NOT NULL DEFAULT 0,
    refused_at DATETIME
) WITHOUT ROWID;

CREATE INDEX billhook_flow_paces_refused_idx ON billhook_flow_paces (refused_at) WHERE refused_at IS NOT NULL;
CREATE INDEX billhook_flow_paces_next_idx ON billhook_flow_paces (next_at);

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

-- What ends a wait or calls off a run. path and value are the part of the condition that an index can look up, both empty when there
-- is none; expression is the whole of it.
CREATE TABLE billhook_flow_waits (
    run        TEXT     NOT NULL,
    kind       TEXT     NOT NULL CHECK (kind IN ('event', 'cancel')),
    step       TEXT     NOT NULL,
    occurrence INTEGER  NOT NULL,
    name       TEXT     NOT NULL,
    path       TEXT     NOT NULL,
    value      TEXT     NOT NULL,
    expression TEXT     NOT NULL,
    until      DATETIME,
    PRIMARY KEY (run, kind, step, occurrence)
) WITHOUT ROWID;

CREATE INDEX billhook_flow_waits_name_idx ON billhook_flow_waits (name, path, value);

-- Functions that some process knows, and when it last said so.
CREATE TABLE billhook_flow_known_functions (
    id      TEXT     NOT NULL PRIMARY KEY,
    seen_at DATETIME NOT NULL
) WITHOUT ROWID;

-- Runs that ended without their function, of which whoever invoked them is to be told.
CREATE TABLE billhook_flow_ended (
    run TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

CREATE INDEX billhook_flow_runs_expires_idx ON billhook_flow_runs (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX billhook_flow_runs_parked_idx ON billhook_flow_runs (parked_at) WHERE parked_at IS NOT NULL;

CREATE INDEX billhook_flow_runs_ended_idx ON billhook_flow_runs (ended_at) WHERE ended_at IS NOT NULL;

-- For "what did this event start", and for the events that nothing needs any more.
CREATE INDEX billhook_flow_runs_event_idx ON billhook_flow_runs (event_key);

-- Schedules of functions. They live here, so that a time which comes while nobody runs is not forgotten.
CREATE TABLE billhook_flow_crons (
    function TEXT     NOT NULL,
    schedule TEXT     NOT NULL,
    -- The latest time that was started or passed over.
    last_at  DATETIME NOT NULL,
    PRIMARY KEY (function, schedule)
) WITHOUT ROWID;

CREATE INDEX billhook_flow_events_id_idx ON billhook_flow_events (id);

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

-- Versions of functions whose runs are executed by that version alone, and when a process last had them.
CREATE TABLE billhook_flow_versions (
    function TEXT     NOT NULL,
    version  TEXT     NOT NULL,
    seen_at  DATETIME NOT NULL,
    PRIMARY KEY (function, version)
) WITHOUT ROWID;
