-- Billhook's own tables. Statements are separated by lines of three dashes. Ids are compared byte by byte (collation "C"): it
-- is what every lookup needs, and several times cheaper in an index than a language's order.
CREATE TABLE billhook.settings (
    key text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
)
---
-- Every authentic delivery, byte for byte. A row is written once and never changed, only removed by retention.
CREATE TABLE billhook.inbox (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id text COLLATE "C" NOT NULL UNIQUE,
    event_type text COLLATE "C" NOT NULL,
    object text COLLATE "C" NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    api_version text COLLATE "C" NOT NULL,
    snapshot_event text COLLATE "C" NOT NULL,
    created bigint,
    livemode boolean,
    received_at timestamptz NOT NULL,
    secret_index smallint NOT NULL,
    raw bytea NOT NULL,
    sha256 bytea NOT NULL
)
---
-- lz4 takes a third of the time of the default compression. Servers built without it, or older than 14, keep the default.
DO $$
BEGIN
    EXECUTE 'ALTER TABLE billhook.inbox ALTER COLUMN raw SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR syntax_error OR invalid_parameter_value THEN NULL;
END
$$
---
-- Compressed, but beside the row as long as both fit in one page: a second table for large values costs more than it saves here.
ALTER TABLE billhook.inbox ALTER COLUMN raw SET STORAGE MAIN
---
-- For "every delivery about this object", newest first.
CREATE INDEX inbox_object_id_idx ON billhook.inbox (object_id, sequence) WHERE object_id <> ''
---
-- The queue of unapplied deliveries. It is a narrow table of its own, so that applying a delivery removes a few bytes here and
-- never rewrites the wide inbox row.
CREATE TABLE billhook.pending (
    sequence bigint PRIMARY KEY,
    received_at timestamptz NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_analyze_scale_factor = 0.5
)
---
CREATE TABLE billhook.tombstones (
    table_name text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    "time" bigint NOT NULL,
    source_event text COLLATE "C" NOT NULL,
    base_time bigint,
    PRIMARY KEY (table_name, id)
)
---
CREATE TABLE billhook.contenders (
    table_name text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    "time" bigint NOT NULL,
    PRIMARY KEY (table_name, id, event_id)
)
---
-- Objects whose state events could not decide and that have to be read again from Stripe.
CREATE TABLE billhook.dirty (
    object text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    not_before timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (object, id, event_id)
)
---
CREATE INDEX dirty_not_before_idx ON billhook.dirty (not_before)
---
CREATE INDEX dirty_event_id_idx ON billhook.dirty (event_id)
---
-- Deliveries that a person should look at; closed entries stay as a record.
CREATE TABLE billhook.quarantine (
    sequence bigint PRIMARY KEY,
    reason text NOT NULL,
    detail text NOT NULL,
    applied boolean NOT NULL,
    at timestamptz NOT NULL,
    closed_at timestamptz
)
---
CREATE INDEX quarantine_open_idx ON billhook.quarantine (sequence) WHERE closed_at IS NULL
---
-- An event's body as JSON, or NULL when PostgreSQL cannot hold it as such (broken UTF-8, \u0000, lone surrogates, no JSON at
-- all). It starts a subtransaction, hence it must stay PARALLEL UNSAFE; being IMMUTABLE, it is not called for unused columns.
CREATE FUNCTION billhook.event_json(raw bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(raw, 'UTF8')::jsonb;
EXCEPTION
    WHEN OTHERS THEN RETURN NULL;
END
$$
