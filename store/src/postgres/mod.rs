//! The PostgreSQL driver.
//!
//! Nothing here depends on the state of a session beyond one transaction: no temporary tables, no advisory locks outside of
//! migrations. So a pooler may stand between, and nodes share nothing but the database. The one exception are the hints of
//! `flow_hints`, which may be lost. Every wait has a deadline, and a connection whose state is unknown is closed, never reused.

mod catalogue;
mod catalogue_plan;
mod connection;
mod control;
mod drift;
mod encode;
mod endpoints;
mod events;
mod failure;
mod flow;
mod flow_hints;
mod flow_orders;
mod flow_pace;
mod flow_runs;
mod flow_upkeep;
mod inbox;
mod links;
mod migrations;
mod names;
mod publish;
mod row_parameters;
mod rows;
mod runs;
mod segments;
mod session;
mod settings;
mod sql;
mod statements;
mod table_sql;
mod tls;
mod transaction;

use std::sync::Arc;

use billhook_core::failpoint;
use billhook_core::table::Table;
use deadpool_postgres::Pool;
use tokio::sync::Semaphore;
use tokio_postgres::Row;

use self::connection::Address;
use self::flow_hints::HintPace;
use self::links::Links;
use self::names::MirrorSchema;
use self::session::{Parameters, Patience, Session};
use self::table_sql::{Statement, TableStatements};
use self::transaction::PostgresTransaction;
use crate::{Location, Options, StoreError, Work};

/// One of so many connections may be held by transactions of the user's.
const SQL_SHARE: usize = 2;

/// The driver: a handle on a connection pool. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    pool: Pool,
    tables: &'static [Table],
    catalogue_revision: i64,
    mirror: MirrorSchema,
    table_statements: TableStatements,
    links: Links,
    /// Places for transactions of the user's, fewer than there are connections: nobody may wait in vain because functions think.
    sql_places: Semaphore,
    hint_pace: HintPace,
}

impl Shared {
    fn table_sql(&self, table: &Table, statement: Statement) -> Result<Arc<str>, StoreError> {
        self.table_statements.get(&self.mirror, table, statement)
    }
}

impl PostgresStore {
    /// Makes the pool and one connection, which proves that the database answers.
    ///
    /// # Errors
    /// [`StoreError::Configuration`] for a URL, schema, certificate or login that cannot work; [`StoreError::Unavailable`] when
    /// the server does not answer.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let Location::Postgres(location) = &options.location else {
            return Err(StoreError::Configuration(
                "the PostgreSQL driver was given another kind of database".to_owned(),
            ));
        };
        let mirror = MirrorSchema::new(&location.mirror_schema)?;
        let address = Address::new(location)?;
        let shared = Shared {
            pool: address.pool(location.connections_max)?,
            address,
            tables: options.tables,
            catalogue_revision: options.catalogue_revision,
            links: Links::new(&mirror, options.tables),
            mirror,
            table_statements: TableStatements::default(),
            sql_places: Semaphore::new((location.connections_max / SQL_SHARE).max(1)),
            hint_pace: HintPace::default(),
        };
        let store = Self { shared: Arc::new(shared) };
        store.ping().await?;
        Ok(store)
    }

    /// The tables the store was opened with.
    pub fn tables(&self) -> &'static [Table] {
        self.shared.tables
    }

    /// See [`crate::Store::ping`].
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let session = self.session(Patience::Answer).await?;
        session.simple("ping", "SELECT 1").await?;
        session.give_back();
        Ok(())
    }

    /// Closes the pool. Operations that run finish; new ones find the store unavailable.
    pub async fn close(&self) {
        self.shared.pool.close();
    }

    /// See [`crate::Store::transact`].
    ///
    /// # Errors
    /// The work's own, and [`StoreError::Unavailable`] when the outcome of the commit is unknown.
    pub async fn transact<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        match work.run(&mut transaction).await {
            Ok(output) => {
                failpoint::hit("before_apply_commit");
                transaction.commit().await?;
                failpoint::hit("after_apply_commit");
                Ok(output)
            }
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }

    /// Prepares every statement of the driver against the database, and so proves that they fit its schema. Returns how many
    /// there are.
    ///
    /// # Errors
    /// The first statement that the server refuses, by name.
    pub async fn check_statements(&self) -> Result<usize, StoreError> {
        let mut session = self.session(Patience::Housekeeping).await?;
        let has_links = |name: &str| !name.starts_with("link_") || self.shared.links.knows(name);
        let mut count = 0;
        for (name, sql) in statements::ALL.iter().filter(|(name, _)| has_links(name)) {
            let sql = sql.replace(statements::MIRROR, self.shared.mirror.quoted());
            // Statements that define something cannot be prepared; the migrations run them.
            if !sql.contains("CREATE ") {
                session.prepare(name, &sql).await?;
                count += 1;
            }
        }
        for table in self.shared.tables {
            session.renew(Patience::Housekeeping);
            for statement in table_sql::every_statement(table) {
                let sql = self.shared.table_sql(table, statement)?;
                session.prepare("a statement of the mirror's tables", &sql).await?;
                count += 1;
            }
        }
        // Thousands of prepared statements: the connection is not worth keeping.
        drop(session);
        Ok(count)
    }

    async fn session(&self, patience: Patience) -> Result<Session, StoreError> {
        Session::take(&self.shared.pool, patience).await
    }

    /// One statement in an implicit transaction of its own.
    async fn query(
        &self,
        patience: Patience,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let session = self.session(patience).await?;
        let rows = session.query(operation, sql, parameters).await?;
        session.give_back();
        Ok(rows)
    }

    /// One statement that returns no rows, in an implicit transaction of its own.
    async fn execute(
        &self,
        patience: Patience,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        let session = self.session(patience).await?;
        let count = session.execute(operation, sql, parameters).await?;
        session.give_back();
        Ok(count)
    }
}

/// A column of a result. The statement and the type stand in this crate, so a mismatch is this program's mistake.
fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| StoreError::Refused {
        operation: "reading a result",
        message: format!("column {at}: {error}"),
    })
}

/// A count of the server as an unsigned number.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An unsigned number as the server wants it.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A limit as the server wants it.
fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
