CREATE SCHEMA IF NOT EXISTS billing
---
-- Who may be charged. Another table can be used instead: billing.users_table.
CREATE TABLE billing.users (
    id text PRIMARY KEY,
    email text,
    name text,
    stripe_customer_id text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
)
---
CREATE INDEX users_email_idx ON billing.users (lower(email))
---
-- Who pays for a subscription. status is active, payment_failed, or whatever the application writes; only active and payment_failed are
-- changed here.
CREATE TABLE billing.organisations (
    id text PRIMARY KEY,
    name text NOT NULL,
    stripe_customer_id text,
    stripe_subscription_id text UNIQUE,
    status text NOT NULL DEFAULT 'active',
    last_failed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
)
---
CREATE INDEX organisations_customer_idx ON billing.organisations (stripe_customer_id)
---
-- One row for each charge that succeeded and whose user is known. The amount is in the smallest unit of its currency.
CREATE TABLE billing.charges (
    id text PRIMARY KEY,
    user_id text NOT NULL,
    stripe_customer_id text,
    amount bigint NOT NULL,
    currency text NOT NULL,
    charged_at timestamptz NOT NULL,
    event_id text NOT NULL
)
---
CREATE INDEX charges_user_idx ON billing.charges (user_id)
---
-- Mails to be sent. id is the idempotency key of the step that wrote it, so that a mail is written once.
CREATE TABLE billing.outbox (
    id text PRIMARY KEY,
    recipient text NOT NULL,
    template text NOT NULL,
    data jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz
)
---
CREATE INDEX outbox_unsent_idx ON billing.outbox (created_at) WHERE sent_at IS NULL
