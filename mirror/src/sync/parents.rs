//! Walks below parents: one list a row of another table.

use billhook_store::{Advance, NewSegment, SegmentEnd};

use super::request::{Cursor, Position};
use super::streams::Parent;
use super::walk::{Ending, Walk, store_ending};

/// Ids of parents read at once.
const PARENTS_AT_ONCE: usize = 500;

/// Parents that are worth being shared with an idle worker.
const SHARED_MIN: usize = 8;

/// Parents whose lists Stripe declines one after another before the segment is given up: it declines them all then.
const DECLINED_MAX: u64 = 10;

impl Walk {
    /// Goes through the parents in order of id, from the one that the cursor names.
    pub(super) async fn below_parents(&mut self, parent: Parent, cursor: Cursor) -> Result<(), Ending> {
        let mut declined = 0;
        let mut after = cursor.parent.unwrap_or_default();
        self.until = cursor.until;
        if cursor.position != Position::default() {
            self.below(&after, cursor.position, &mut declined).await?;
        }
        loop {
            let store = self.shared.store.clone();
            // Every row that is not flagged as deleted has a version below the greatest.
            let rows = store.unseen_rows(parent.table(), i64::MAX, &after, PARENTS_AT_ONCE).await;
            let rows = rows.map_err(|error| store_ending(&error))?;
            let mut next = rows.next_after;
            let mut ids: Vec<String> =
                rows.rows.into_iter().filter(|row| self.is_own(&row.account)).map(|row| row.id).collect();
            if let Some(until) = &self.until {
                let all = ids.len();
                ids.retain(|id| id <= until);
                next = next.filter(|_| ids.len() == all);
            }
            self.share(&mut ids, &after).await?;
            for id in ids {
                self.below(&id, Position::default(), &mut declined).await?;
                if self.shared.is_halted() {
                    return Err(Ending::Stopped);
                }
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        let end = if declined > 0 { SegmentEnd::Failed } else { SegmentEnd::Done };
        let advance = Advance { closed: Some(end), ..self.standstill() };
        self.commit_alone(advance).await
    }

    /// Rows of connected accounts are not this account's to ask for.
    fn is_own(&self, account: &str) -> bool {
        account.is_empty() || account == self.shared.options.account
    }

    /// Gives half of these parents to an idle worker. After a crash both may read them, which costs requests and harms nothing.
    async fn share(&mut self, ids: &mut Vec<String>, after: &str) -> Result<(), Ending> {
        if ids.len() < SHARED_MIN || self.compares() || !self.shared.idle.engage() {
            return Ok(());
        }
        let given = ids.split_off(ids.len() / 2);
        let (before, until) = (ids.last().cloned(), given.last().cloned());
        let cursor = Cursor { parent: before, until, position: Position::default() };
        let split: Vec<NewSegment> = vec![self.part(&self.stream.name, cursor.text())];
        let own = Cursor { parent: Some(after.to_owned()), until: self.until.clone(), position: Position::default() };
        let advance = Advance { cursor: own.text(), split, ..self.standstill() };
        self.commit_alone(advance).await
    }

    /// One parent's list. A parent that is gone, or that Stripe declines, holds up no others.
    async fn below(&mut self, id: &str, position: Position, declined: &mut u64) -> Result<(), Ending> {
        self.begin_list();
        match self.list(position, Some(id)).await {
            Err(Ending::Missing(_)) => Ok(()),
            Err(Ending::Declined(message)) if *declined < DECLINED_MAX => {
                *declined += 1;
                self.shared.failed("parent_declined");
                self.note(format!("{declined} lists could not be read, the last of them below {id}: {message}"));
                let cursor =
                    Cursor { parent: Some(id.to_owned()), until: self.until.clone(), position: Position::default() };
                let advance = Advance { cursor: cursor.text(), ..self.standstill() };
                self.commit_alone(advance).await
            }
            result => result,
        }
    }
}
