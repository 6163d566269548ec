//! Who was charged: a row of Billhook's own table of users, or of the application's.

use billhook_flow::{Error, Result, SqlRow, Tx};

use crate::name::{ColumnName, NameDefect, TableName};
use crate::tables::Tables;

/// Rows of one address that are looked at: one is the user, two are too many.
const SAME_ADDRESS_MAX: usize = 10;

/// Where users are looked for.
#[derive(Debug, Clone)]
pub struct Users {
    /// The table.
    pub table: TableName,
    /// The column that names a user.
    pub id: ColumnName,
    /// The column of the address.
    pub email: ColumnName,
    /// The column of Stripe's customer id, where the table has one.
    pub customer: Option<ColumnName>,
}

impl Users {
    /// Billhook's own table.
    ///
    /// # Errors
    /// None: the names are its own.
    pub fn own(tables: &Tables) -> Result<Self, NameDefect> {
        let (id, email, customer) = ("id".parse()?, "email".parse()?, Some("stripe_customer_id".parse()?));
        Ok(Self { table: tables.users.clone(), id, email, customer })
    }

    /// The user of a customer, else the one with the address, upper and lower case aside. An address that several users share says
    /// nothing, unless exactly one of them writes it in the same way.
    pub(crate) async fn find(&self, tx: &Tx, customer: Option<&str>, email: Option<&str>) -> Result<Option<String>> {
        if let (Some(column), Some(customer)) = (&self.customer, customer)
            && let Some(user) = self.by_customer(tx, column, customer).await?
        {
            return Ok(Some(user));
        }
        match email {
            Some(email) => self.by_email(tx, email).await,
            None => Ok(None),
        }
    }

    async fn by_customer(&self, tx: &Tx, column: &ColumnName, customer: &str) -> Result<Option<String>> {
        let Self { table, id, .. } = self;
        let sql = format!("SELECT CAST({id} AS text) AS id FROM {table} WHERE {column} = $1 ORDER BY {id} LIMIT 1");
        tx.query(&sql, &[customer.into()]).await?.first().map(|row| Ok(row.get("id")?)).transpose()
    }

    async fn by_email(&self, tx: &Tx, address: &str) -> Result<Option<String>> {
        let Self { table, id, email, .. } = self;
        let sql = format!(
            "SELECT CAST({id} AS text) AS id, CAST({email} AS text) AS email FROM {table} \
             WHERE lower({email}) = lower(CAST($1 AS text)) ORDER BY {id} LIMIT {SAME_ADDRESS_MAX}"
        );
        let read = |row: &SqlRow| Ok::<_, Error>((row.get::<String>("id")?, row.get::<String>("email")?));
        let found = tx.query(&sql, &[address.into()]).await?.iter().map(read).collect::<Result<Vec<_>>>()?;
        if let [(user, _)] = &found[..] {
            return Ok(Some(user.clone()));
        }
        let mut same = found.into_iter().filter(|(_, email)| email == address);
        Ok(same.next().filter(|_| same.next().is_none()).map(|(user, _)| user))
    }
}
