//! What billing did, in plain words. The demo looks into the database like anybody else.

use std::collections::HashMap;

use anyhow::Context as _;
use billhook_store::{SqlRow, SqlValue, Store};
use jiff::{SignedDuration, Timestamp};

/// How much later than its end a run may show, by the clock of the demo: a second of the world and more.
const LATE: SignedDuration = SignedDuration::from_hours(48);

const CHARGES: &str = "\
SELECT c.rowid AS place, c.id, coalesce(u.email, c.user_id) AS email FROM billing_charges c \
LEFT JOIN billing_users u ON u.id = c.user_id WHERE c.rowid > $1 ORDER BY c.rowid";

const MAILS: &str = "\
SELECT rowid AS place, recipient, template FROM billing_outbox WHERE rowid > $1 ORDER BY rowid";

/// Ends that leave no row: what belongs to nobody who is known, and chains that were called off.
const ENDS: &str = "\
SELECT r.id, r.ended_at, r.function, coalesce(c.email, c.id, r.dedupe_key) AS who, coalesce(r.message, '') AS message \
FROM billhook_flow_runs r LEFT JOIN charges h ON h.id = r.dedupe_key LEFT JOIN invoices i ON i.id = r.dedupe_key \
LEFT JOIN customers c ON c.id = coalesce(h.customer, i.customer) \
WHERE r.ended_at >= $1 AND (r.function = 'process-payment-failed' AND r.state = 'cancelled' \
   OR r.function <> 'payment-recovered' AND json_extract(r.result, '$.status') = 404) ORDER BY r.ended_at";

const COUNTS: &str = "\
SELECT (SELECT count(*) FROM billing_charges) AS charges, (SELECT count(*) FROM billing_outbox) AS mails, \
(SELECT count(*) FROM billhook_flow_runs) AS runs";

/// What was told already.
pub struct News {
    charge: i64,
    mail: i64,
    /// Runs whose end was told, with its time.
    ended: HashMap<String, Timestamp>,
}

impl News {
    /// Nothing was told yet.
    pub fn new() -> Self {
        Self { charge: 0, mail: 0, ended: HashMap::new() }
    }

    /// What happened since the last look.
    pub async fn next(&mut self, store: &Store) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for row in read(store, CHARGES, &[self.charge.into()]).await? {
            self.charge = row.get("place")?;
            lines.push(format!("charge {} of {} recorded", row.get::<String>("id")?, row.get::<String>("email")?));
        }
        for row in read(store, MAILS, &[self.mail.into()]).await? {
            self.mail = row.get("place")?;
            lines.push(mail_line(&row.get::<String>("recipient")?, &row.get::<String>("template")?));
        }
        let last = self.ended.values().max().copied().unwrap_or(Timestamp::UNIX_EPOCH);
        let since = last.saturating_sub(LATE).unwrap_or(Timestamp::MIN);
        self.ended.retain(|_, ended_at| *ended_at >= since);
        for row in read(store, ENDS, &[since.into()]).await? {
            if self.ended.insert(row.get("id")?, row.get("ended_at")?).is_none() {
                let text = |column| row.get::<String>(column);
                lines.push(end_line(&text("who")?, &text("function")?, &text("message")?));
            }
        }
        Ok(lines)
    }
}

fn mail_line(recipient: &str, template: &str) -> String {
    match template {
        "payment_failed" => format!("a payment of {recipient} failed, notice written; reminder in 3 days"),
        _ => format!("{recipient} has not paid for 3 days, reminder written"),
    }
}

fn end_line(who: &str, function: &str, message: &str) -> String {
    match function {
        "record-charge" => format!("no user for {who}: 404, not tried again"),
        _ if message.is_empty() => format!("no organisation for {who}: 404, not tried again"),
        _ if message.contains("stripe/invoice.paid") => format!("{who} paid: the reminder is called off"),
        _ => format!("the invoice of {who} is not to be paid any more: the reminder is called off"),
    }
}

/// How much was done.
pub async fn counts(store: &Store) -> anyhow::Result<String> {
    let rows = read(store, COUNTS, &[]).await?;
    let row = rows.first().context("count what was done")?;
    let count = |column| row.get::<i64>(column);
    Ok(format!("{} charges recorded, {} mails written, {} runs", count("charges")?, count("mails")?, count("runs")?))
}

async fn read(store: &Store, sql: &str, parameters: &[SqlValue]) -> anyhow::Result<Vec<SqlRow>> {
    store.read_sql(sql, parameters).await.context("look at what billing did")
}
