-- A small picture of what the older sync engine leaves: narrow integers, enum types, required columns, a foreign key, an empty
-- table of events, and rows that were synchronised at second 1000.
CREATE SCHEMA stripe;
CREATE TYPE stripe.subscription_status AS ENUM ('trialing', 'active', 'canceled');
CREATE TABLE stripe.customers (
    id text PRIMARY KEY,
    name text,
    balance integer,
    created integer,
    deleted boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_synced_at timestamptz
);
CREATE TABLE stripe.subscriptions (
    id text PRIMARY KEY,
    status stripe.subscription_status DEFAULT 'active',
    trial_end jsonb,
    last_synced_at timestamptz
);
CREATE INDEX stripe_subscriptions_status_idx ON stripe.subscriptions (status);
CREATE TABLE stripe.subscription_schedules (
    id text PRIMARY KEY,
    created integer NOT NULL,
    customer text NOT NULL,
    status text NOT NULL
);
CREATE TABLE stripe.checkout_session_line_items (
    id text PRIMARY KEY,
    price text REFERENCES stripe.customers (id) ON DELETE CASCADE
);
CREATE TABLE stripe.events (id text PRIMARY KEY, type text);
INSERT INTO stripe.customers (id, name, last_synced_at) VALUES ('cus_old', 'Ada', to_timestamp(1000));
INSERT INTO stripe.subscriptions (id, last_synced_at) VALUES ('sub_old', to_timestamp(1000));
