//! The first look: everything that seems to differ.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use billhook_core::row::Row;
use billhook_core::table::{OnDelete, Table};
use billhook_store::{Store, StoreError, Transaction, Work};
use billhook_stripe::api::{Api, Class};
use billhook_stripe::catalogue;

use super::{DIFFERENCES_MAX, Step, VerifyOptions};
use crate::equal::error::EqualError;
use crate::equal::shape::differing_in_shape;
use crate::interpret::Change;
use crate::sync::names::Target;
use crate::sync::streams::{self, Stream};
use crate::sync::{Listing, NoPage};

/// Rows and parents looked at in one step.
const ROWS_STEP: usize = 1_000;

/// An object that seems to differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suspect {
    pub(super) object: &'static str,
    pub(super) id: String,
    pub(super) account: String,
}

/// What the first look found.
#[derive(Debug, Default)]
pub(super) struct Surveyed {
    pub(super) objects: u64,
    pub(super) rows: u64,
    pub(super) suspects: BTreeSet<Suspect>,
    pub(super) unexamined: u64,
    /// Hashes of the ids that Stripe listed: 8 bytes each, for a million objects 16 MB. A row whose id collides with another one
    /// is not noticed when it is extra; at a million rows that happens once in ten million runs.
    seen: HashSet<u64>,
}

pub(super) struct Survey<'a> {
    store: &'a Store,
    api: &'a Api,
    options: &'a VerifyOptions,
    target: Target,
    table: &'static Table,
}

/// Whether a list was read to its end.
enum Listed {
    Whole,
    /// The account does not have it.
    Nothing(EqualError),
}

impl<'a> Survey<'a> {
    pub(super) fn new(store: &'a Store, api: &'a Api, options: &'a VerifyOptions, target: Target) -> Option<Self> {
        let table = catalogue::table_of(target.object)?;
        Some(Self { store, api, options, target, table })
    }

    pub(super) fn object(&self) -> &'static str {
        self.target.object
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    /// Lists everything, compares it with the rows, then looks for rows that were not listed.
    pub(super) async fn run(&self, progress: &mut impl FnMut(Step)) -> Result<Surveyed, EqualError> {
        let mut surveyed = Surveyed::default();
        let (mut whole, mut refused) = (0, None);
        let mut streams = streams::of(self.target.object, self.target.named);
        while !streams.is_empty() {
            let stream = streams.remove(0);
            match self.stream(stream, &mut streams, &mut surveyed, progress).await? {
                Listed::Whole => whole += 1,
                Listed::Nothing(error) if stream.optional => refused = Some(error),
                Listed::Nothing(error) => return Err(error),
            }
        }
        // One of several lists that an account may lack hides nothing.
        if let Some(error) = refused.filter(|_| whole == 0) {
            return Err(error);
        }
        self.extra(&mut surveyed).await?;
        Ok(surveyed)
    }

    async fn stream(
        &self,
        stream: &'static Stream,
        streams: &mut Vec<&'static Stream>,
        surveyed: &mut Surveyed,
        progress: &mut impl FnMut(Step),
    ) -> Result<Listed, EqualError> {
        let Some(parent) = stream.parent else {
            return match self.list(stream, None, surveyed, progress).await {
                Ok(()) => Ok(Listed::Whole),
                Err(NoList::Page(NoPage::Fallback(other))) => {
                    streams.extend(streams::named(other));
                    Ok(Listed::Whole)
                }
                Err(error) => error.into_outcome(),
            };
        };
        let mut after = String::new();
        loop {
            let parents = self.store.unseen_rows(parent.table(), i64::MAX, &after, ROWS_STEP).await?;
            for row in parents.rows.into_iter().filter(|row| self.is_own(&row.account)) {
                match self.list(stream, Some(row.id), surveyed, progress).await {
                    // The parent is gone, or has no such list: other parents may.
                    Ok(()) | Err(NoList::Page(NoPage::NotFound(_) | NoPage::Declined(_))) => {}
                    Err(error) => return error.into_outcome(),
                }
            }
            match parents.next_after {
                Some(next) => after = next,
                None => return Ok(Listed::Whole),
            }
        }
    }

    async fn list(
        &self,
        stream: &'static Stream,
        parent: Option<String>,
        surveyed: &mut Surveyed,
        progress: &mut impl FnMut(Step),
    ) -> Result<(), NoList> {
        let mut listing = Listing::new(self.api, Class::Backfill, stream, &self.options.account, parent);
        while let Some(changes) = listing.next().await? {
            self.compare(changes, surveyed).await?;
            progress(Step::Compared { object: self.target.object, objects: surveyed.objects });
        }
        Ok(())
    }

    /// Compares the objects of a page with their rows.
    async fn compare(&self, changes: Vec<Change>, surveyed: &mut Surveyed) -> Result<(), EqualError> {
        let mut tables: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
        surveyed.objects += changes.len() as u64;
        for change in changes {
            let row = change.projected.row;
            if row.table == self.table.index {
                surveyed.seen.insert(hash(&row.id));
            }
            tables.entry(row.table).or_default().push(row);
        }
        for (table, rows) in tables {
            let table = &catalogue::tables()[table];
            let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
            let stored = self.store.rows(table, &ids).await?;
            let buried = buried(self.store, table, ids).await?;
            for ((row, stored), buried) in rows.into_iter().zip(stored).zip(buried) {
                let same = match stored.filter(|_| !buried) {
                    Some(stored) => {
                        differing_in_shape(self.store, self.api.version(), table, &stored, &row.raw).await?.is_empty()
                    }
                    None => false,
                };
                if !same {
                    surveyed.suspect(table, row.id, row.account);
                }
            }
        }
        Ok(())
    }

    /// Rows that no list showed.
    async fn extra(&self, surveyed: &mut Surveyed) -> Result<(), EqualError> {
        let mut after = String::new();
        loop {
            let alive = self.store.unseen_rows(self.table, i64::MAX, &after, ROWS_STEP).await?;
            for row in alive.rows.into_iter().filter(|row| self.is_own(&row.account)) {
                surveyed.rows += 1;
                if !surveyed.seen.contains(&hash(&row.id)) {
                    surveyed.suspect(self.table, row.id, row.account);
                }
            }
            match alive.next_after {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Rows of other accounts stand in other accounts' lists.
    fn is_own(&self, account: &str) -> bool {
        account.is_empty() || account == self.options.account
    }
}

impl Surveyed {
    fn suspect(&mut self, table: &'static Table, id: String, account: String) {
        let suspect = Suspect { object: &table.object, id, account };
        if self.suspects.len() < DIFFERENCES_MAX || self.suspects.contains(&suspect) {
            self.suspects.insert(suspect);
        } else {
            self.unexamined += 1;
        }
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Why a list was not read to its end.
enum NoList {
    Page(NoPage),
    Error(EqualError),
}

impl From<NoPage> for NoList {
    fn from(no_page: NoPage) -> Self {
        Self::Page(no_page)
    }
}

impl From<EqualError> for NoList {
    fn from(error: EqualError) -> Self {
        Self::Error(error)
    }
}

impl NoList {
    fn into_outcome(self) -> Result<Listed, EqualError> {
        match self {
            Self::Error(error) => Err(error),
            Self::Page(NoPage::NotAvailable(message) | NoPage::NotFound(message)) => {
                Ok(Listed::Nothing(EqualError::NotAvailable(message)))
            }
            Self::Page(NoPage::NoPermission(message)) => Ok(Listed::Nothing(EqualError::NoPermission(message))),
            // Nothing else can be read either.
            Self::Page(NoPage::Key(message)) => Err(EqualError::KeyRefused(message)),
            Self::Page(NoPage::Fallback(stream)) => Err(EqualError::Unreadable(format!("{stream} cannot take over"))),
            Self::Page(NoPage::Retry(message) | NoPage::Declined(message) | NoPage::Failed(message)) => {
                Err(EqualError::Unreadable(message))
            }
        }
    }
}

/// For each id, whether the mirror holds the object to be deleted.
pub(super) async fn buried(store: &Store, table: &'static Table, ids: Vec<String>) -> Result<Vec<bool>, StoreError> {
    if table.on_delete == OnDelete::Keep {
        return Ok(vec![false; ids.len()]);
    }
    store.transact(Buried { table, ids }).await
}

/// Only reads; there is no other way to look at tombstones.
struct Buried {
    table: &'static Table,
    ids: Vec<String>,
}

impl Work for Buried {
    type Output = Vec<bool>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        let stones = transaction.tombstones(self.table, &self.ids).await?;
        Ok(stones.into_iter().map(|stone| stone.is_some()).collect())
    }
}
