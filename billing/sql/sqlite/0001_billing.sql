-- Who may be charged. Another table can be used instead: billing.users_table.
CREATE TABLE billing_users (
    id                 TEXT     NOT NULL PRIMARY KEY,
    email              TEXT,
    name               TEXT,
    stripe_customer_id TEXT     UNIQUE,
    created_at         DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX billing_users_email_idx ON billing_users (lower(email));

-- Who pays for a subscription. status is active, payment_failed, or whatever the application writes; only active and payment_failed are
-- changed here.
CREATE TABLE billing_organisations (
    id                     TEXT     NOT NULL PRIMARY KEY,
    name                   TEXT     NOT NULL,
    stripe_customer_id     TEXT,
    stripe_subscription_id TEXT     UNIQUE,
    status                 TEXT     NOT NULL DEFAULT 'active',
    last_failed_at         DATETIME,
    created_at             DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX billing_organisations_customer_idx ON billing_organisations (stripe_customer_id);

-- One row for each charge that succeeded and whose user is known. The amount is in the smallest unit of its currency.
CREATE TABLE billing_charges (
    id                 TEXT     NOT NULL PRIMARY KEY,
    user_id            TEXT     NOT NULL,
    stripe_customer_id TEXT,
    amount             BIGINT   NOT NULL,
    currency           TEXT     NOT NULL,
    charged_at         DATETIME NOT NULL,
    event_id           TEXT     NOT NULL
);

CREATE INDEX billing_charges_user_idx ON billing_charges (user_id);

-- Mails to be sent. id is the idempotency key of the step that wrote it, so that a mail is written once.
CREATE TABLE billing_outbox (
    id         TEXT     NOT NULL PRIMARY KEY,
    recipient  TEXT     NOT NULL,
    template   TEXT     NOT NULL,
    data       JSONB    NOT NULL,
    created_at DATETIME NOT NULL,
    sent_at    DATETIME
);

CREATE INDEX billing_outbox_unsent_idx ON billing_outbox (created_at) WHERE sent_at IS NULL;
