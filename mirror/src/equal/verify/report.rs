//! What verifying found, for a person and for a program.

use serde::Serialize;

/// How a row differs from Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Stripe has the object and the mirror has no row, or one that is flagged as deleted.
    Missing,
    /// The mirror has a row and Stripe no longer has the object.
    Extra,
    /// Both have it, in different states.
    Different,
}

impl DifferenceKind {
    /// Its name, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
        }
    }
}

/// A property that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PropertyDifference {
    /// Its name; the column has the same.
    pub name: String,
    /// What the row has, as JSON. Only when values were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// What Stripe has, as JSON. Only when values were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripe: Option<String>,
}

/// An object that differs, also when it was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Stripe's kind.
    pub object: &'static str,
    /// The table of its row.
    pub table: &'static str,
    /// Its id.
    pub id: String,
    /// How it differs.
    pub kind: DifferenceKind,
    /// What differs, for [`DifferenceKind::Different`].
    pub properties: Vec<PropertyDifference>,
}

/// Whether a kind could be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KindState {
    /// Every object and every row was compared.
    Checked,
    /// The account has no such product.
    NotAvailable,
    /// The key may not read it.
    NoPermission,
    /// Its list could not be read to the end.
    Failed,
}

/// What was found in one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindReport {
    /// Stripe's kind.
    pub object: &'static str,
    /// Its table.
    pub table: &'static str,
    /// Whether it could be compared.
    pub state: KindState,
    /// Why it could not; empty when it could.
    pub message: String,
    /// Objects that Stripe listed.
    pub objects: u64,
    /// Rows that the mirror has, without deleted ones.
    pub rows: u64,
    /// What differs, in order of id; at most [`super::DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// Suspicions beyond those, which were not looked into.
    pub unexamined: u64,
    /// Suspicions that could be neither confirmed nor dispelled, because the object could not be read on its own.
    pub unproved: u64,
}

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Kind by kind.
    pub kinds: Vec<KindReport>,
}

impl Report {
    /// Everything that differs.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.kinds.iter().flat_map(|kind| &kind.differences)
    }

    /// Whether nothing differs, and nothing that can be compared was left out.
    pub fn is_clean(&self) -> bool {
        let clean =
            |kind: &KindReport| kind.differences.is_empty() && kind.unexamined == 0 && kind.state != KindState::Failed;
        self.kinds.iter().all(clean)
    }

    /// Objects that were compared.
    pub fn objects(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.objects).sum()
    }
}
