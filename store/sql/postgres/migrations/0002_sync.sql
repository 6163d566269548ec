-- A sync run reads one kind of object inside one window of "created". Its counts are those of its segments, so that pages that
-- are committed at the same time do not wait for each other here.
CREATE TABLE billhook.sync_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text COLLATE "C" NOT NULL,
    created_gte bigint,
    created_lt bigint,
    trigger text COLLATE "C" NOT NULL,
    is_reconcile boolean NOT NULL,
    related boolean NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'running',
    requested_at timestamptz NOT NULL,
    finished_at timestamptz
)
---
-- One open run for a kind and window: a second one joins the first, on whichever node it is asked for.
CREATE UNIQUE INDEX sync_runs_open_idx ON billhook.sync_runs (
    object, coalesce(created_gte, '-9223372036854775808'::bigint), coalesce(created_lt, '9223372036854775807'::bigint), is_reconcile
) WHERE finished_at IS NULL
---
-- What one worker reads. Every page updates its segment: no index holds a column that pages change, and half of each block
-- stays free, so that the new version stands beside the old one and the indexes stay as they are.
CREATE TABLE billhook.sync_segments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run bigint NOT NULL,
    is_reconcile boolean NOT NULL,
    stream text COLLATE "C" NOT NULL,
    created_gte bigint,
    created_lt bigint,
    created_low bigint,
    cursor text COLLATE "C" NOT NULL,
    token bigint NOT NULL DEFAULT 0,
    holder text COLLATE "C",
    free_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    objects bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    message text NOT NULL DEFAULT '',
    message_at timestamptz,
    ended_as text COLLATE "C"
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
)
---
COMMENT ON COLUMN billhook.sync_segments.free_at IS
    'While somebody holds the segment: the end of the lease. Otherwise: not to be claimed before.'
---
CREATE INDEX sync_segments_run_idx ON billhook.sync_segments (run)
---
CREATE INDEX sync_segments_open_idx ON billhook.sync_segments (is_reconcile) WHERE ended_as IS NULL
---
-- What one node does at a time.
CREATE TABLE billhook.leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL
)
---
-- Differences that reads found. While confirmed_at is empty an event may still explain one.
CREATE TABLE billhook.drift (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    detail text NOT NULL,
    previous_time bigint,
    previous_event text NOT NULL,
    read_at bigint NOT NULL,
    found_at timestamptz NOT NULL,
    confirmed_at timestamptz
)
---
CREATE INDEX drift_due_idx ON billhook.drift (found_at) WHERE confirmed_at IS NULL
---
CREATE INDEX drift_confirmed_idx ON billhook.drift (confirmed_at) WHERE confirmed_at IS NOT NULL
---
-- Stretches of time whose events could not be had.
CREATE TABLE billhook.gaps (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_time bigint NOT NULL,
    to_time bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    runs bigint[] NOT NULL
)
---
-- Webhook endpoints that Billhook made at Stripe, with the secrets that sign their deliveries.
CREATE TABLE billhook.webhook_endpoints (
    id text COLLATE "C" PRIMARY KEY,
    url text NOT NULL,
    api_version text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL,
    retire_at timestamptz
)
---
-- An object has one mark for each event and reason, so that what settles one doubt settles no other.
ALTER TABLE billhook.dirty DROP CONSTRAINT dirty_pkey, ADD PRIMARY KEY (object, id, event_id, reason)
