-- Billhook's own tables. They share the file with the mirror, because a write-ahead log is atomic only within one file.

CREATE TABLE billhook_settings (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Every authentic delivery, as it came. A row is written once and never changed: what happens to it stands in the narrow tables
-- below. The body is the last column, so that lists do not read it.
CREATE TABLE billhook_inbox (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id       TEXT     NOT NULL UNIQUE,
    event_type     TEXT     NOT NULL,
    object         TEXT     NOT NULL,
    object_id      TEXT     NOT NULL,
    account        TEXT     NOT NULL,
    api_version    TEXT     NOT NULL,
    snapshot_event TEXT     NOT NULL,
    created        BIGINT,
    livemode       BOOLEAN,
    received_at    DATETIME NOT NULL,
    secret_index   INTEGER  NOT NULL,
    sha256         BLOB     NOT NULL,
    raw            BLOB     NOT NULL
);

-- "What came in about this object", newest first.
CREATE INDEX billhook_inbox_object_id_idx ON billhook_inbox (object_id, sequence) WHERE object_id <> '';

-- Retention finds the oldest deliveries without reading the others.
CREATE INDEX billhook_inbox_received_at_idx ON billhook_inbox (received_at);

-- Deliveries that wait to be applied.
CREATE TABLE billhook_pending (
    sequence    INTEGER PRIMARY KEY,
    received_at DATETIME NOT NULL
);

CREATE TABLE billhook_tombstones (
    table_name   TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    time         BIGINT NOT NULL,
    source_event TEXT   NOT NULL,
    base_time    BIGINT,
    PRIMARY KEY (table_name, id)
) WITHOUT ROWID;

CREATE TABLE billhook_contenders (
    table_name TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    event_id   TEXT   NOT NULL,
    time       BIGINT NOT NULL,
    PRIMARY KEY (table_name, id, event_id)
) WITHOUT ROWID;

CREATE TABLE billhook_dirty (
    object     TEXT     NOT NULL,
    id         TEXT     NOT NULL,
    account    TEXT     NOT NULL,
    reason     TEXT     NOT NULL,
    event_id   TEXT     NOT NULL,
    not_before DATETIME NOT NULL,
    marked_at  DATETIME NOT NULL,
    PRIMARY KEY (object, id, event_id)
) WITHOUT ROWID;

CREATE INDEX billhook_dirty_not_before_idx ON billhook_dirty (not_before);

CREATE INDEX billhook_dirty_event_id_idx ON billhook_dirty (event_id) WHERE event_id <> '';

CREATE TABLE billhook_quarantine (
    sequence  INTEGER PRIMARY KEY,
    reason    TEXT     NOT NULL,
    detail    TEXT     NOT NULL,
    applied   BOOLEAN  NOT NULL,
    at        DATETIME NOT NULL,
    closed_at DATETIME
);

CREATE INDEX billhook_quarantine_open_idx ON billhook_quarantine (sequence) WHERE closed_at IS NULL;

-- The inbox as the table `events` of the mirror. A body that is no JSON document shows its id and no more.
CREATE VIEW events AS
WITH documents AS (
    SELECT
        event_id,
        event_type,
        created,
        livemode,
        account,
        api_version,
        received_at,
        CASE WHEN json_valid(CAST(raw AS TEXT)) THEN CAST(raw AS TEXT) END AS document
    FROM billhook_inbox
)
SELECT
    event_id                                                              AS id,
    coalesce(document ->> '$.object', 'event')                            AS object,
    document -> '$.data'                                                  AS data,
    event_type                                                            AS type,
    created                                                               AS created,
    document ->> '$.request'                                              AS request,
    NULL                                                                  AS updated,
    livemode                                                              AS livemode,
    nullif(api_version, '')                                               AS api_version,
    document ->> '$.pending_webhooks'                                     AS pending_webhooks,
    document ->> '$.context'                                              AS context,
    nullif(account, '')                                                   AS account,
    received_at                                                           AS updated_at,
    received_at                                                           AS last_synced_at,
    document                                                              AS _raw_data,
    account                                                               AS _account_id,
    received_at                                                           AS _last_synced_at,
    received_at                                                           AS _updated_at
FROM documents;
