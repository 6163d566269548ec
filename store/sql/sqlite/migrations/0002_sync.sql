-- A sync run reads one kind of object inside one window of "created". Its counts are those of its segments.
CREATE TABLE billhook_sync_runs (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    object       TEXT     NOT NULL,
    created_gte  BIGINT,
    created_lt   BIGINT,
    "trigger"    TEXT     NOT NULL,
    is_reconcile BOOLEAN  NOT NULL,
    related      BOOLEAN  NOT NULL,
    state        TEXT     NOT NULL DEFAULT 'running',
    requested_at DATETIME NOT NULL,
    finished_at  DATETIME
);

-- One open run for a kind and window: a second one joins the first.
CREATE UNIQUE INDEX billhook_sync_runs_open_idx ON billhook_sync_runs (
    object, coalesce(created_gte, -9223372036854775808), coalesce(created_lt, 9223372036854775807), is_reconcile
) WHERE finished_at IS NULL;

-- What one worker reads. free_at is the end of the lease while somebody holds the segment; otherwise it is not to be claimed
-- before that time.
CREATE TABLE billhook_sync_segments (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    run          INTEGER  NOT NULL,
    is_reconcile BOOLEAN  NOT NULL,
    stream       TEXT     NOT NULL,
    created_gte  BIGINT,
    created_lt   BIGINT,
    created_low  BIGINT,
    cursor       TEXT     NOT NULL,
    token        INTEGER  NOT NULL DEFAULT 0,
    holder       TEXT,
    free_at      DATETIME NOT NULL,
    attempts     INTEGER  NOT NULL DEFAULT 0,
    objects      INTEGER  NOT NULL DEFAULT 0,
    requests     INTEGER  NOT NULL DEFAULT 0,
    message      TEXT     NOT NULL DEFAULT '',
    message_at   DATETIME,
    ended_as     TEXT
);

CREATE INDEX billhook_sync_segments_run_idx ON billhook_sync_segments (run);

CREATE INDEX billhook_sync_segments_open_idx ON billhook_sync_segments (is_reconcile) WHERE ended_as IS NULL;

-- What one node does at a time.
CREATE TABLE billhook_leases (
    name   TEXT     NOT NULL PRIMARY KEY,
    holder TEXT     NOT NULL,
    until  DATETIME NOT NULL
) WITHOUT ROWID;

-- Differences that reads found. While confirmed_at is empty an event may still explain one.
CREATE TABLE billhook_drift (
    number         INTEGER PRIMARY KEY AUTOINCREMENT,
    object         TEXT     NOT NULL,
    id             TEXT     NOT NULL,
    kind           TEXT     NOT NULL,
    detail         TEXT     NOT NULL,
    previous_time  BIGINT,
    previous_event TEXT     NOT NULL,
    read_at        BIGINT   NOT NULL,
    found_at       DATETIME NOT NULL,
    confirmed_at   DATETIME
);

CREATE INDEX billhook_drift_due_idx ON billhook_drift (found_at) WHERE confirmed_at IS NULL;

CREATE INDEX billhook_drift_confirmed_idx ON billhook_drift (confirmed_at) WHERE confirmed_at IS NOT NULL;

-- Stretches of time whose events could not be had; runs is a JSON array.
CREATE TABLE billhook_gaps (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    from_time   BIGINT   NOT NULL,
    to_time     BIGINT   NOT NULL,
    recorded_at DATETIME NOT NULL,
    runs        TEXT     NOT NULL
);

-- Webhook endpoints that Billhook made at Stripe, with the secrets that sign their deliveries.
CREATE TABLE billhook_webhook_endpoints (
    id          TEXT     NOT NULL PRIMARY KEY,
    url         TEXT     NOT NULL,
    api_version TEXT     NOT NULL,
    secret      TEXT     NOT NULL,
    created_at  DATETIME NOT NULL,
    retire_at   DATETIME
) WITHOUT ROWID;

-- An object has one mark for each event and reason, so that what settles one doubt settles no other.
ALTER TABLE billhook_dirty RENAME TO billhook_dirty_by_event;

CREATE TABLE billhook_dirty (
    object     TEXT     NOT NULL,
    id         TEXT     NOT NULL,
    account    TEXT     NOT NULL,
    reason     TEXT     NOT NULL,
    event_id   TEXT     NOT NULL,
    not_before DATETIME NOT NULL,
    marked_at  DATETIME NOT NULL,
    PRIMARY KEY (object, id, event_id, reason)
) WITHOUT ROWID;

INSERT INTO billhook_dirty SELECT * FROM billhook_dirty_by_event;

DROP TABLE billhook_dirty_by_event;

CREATE INDEX billhook_dirty_not_before_idx ON billhook_dirty (not_before);

CREATE INDEX billhook_dirty_event_id_idx ON billhook_dirty (event_id) WHERE event_id <> '';
