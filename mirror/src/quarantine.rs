//! Why a delivery is shown to a person. One list; the command line, the metrics and the docs read it.

/// A reason with its explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body is not a JSON object.
    NotJson,
    /// The body is JSON but no Stripe event.
    NotAnEvent,
    /// The event has no usable id, so that its repetition could not be recognised.
    MissingEventId,
    /// The event has no type.
    MissingType,
    /// The event carries no object.
    MissingObject,
    /// The object names no kind.
    MissingKind,
    /// The object has no usable id although its kind has ids.
    MissingObjectId,
    /// `created` is not a time between 1970 and 9999, so the event cannot be ordered.
    InvalidCreated,
    /// The object is nested too deeply to be stored as JSON.
    TooDeep,
    /// Live where the database is test, or the other way round.
    WrongMode,
    /// The event belongs to an account that is not this database's.
    WrongAccount,
    /// The type is not in the catalogue; the object was mirrored all the same.
    UnknownType,
    /// The kind is not in the catalogue; the object was mirrored into `other_objects`.
    UnknownObject,
    /// The database refused the rows of this delivery.
    ApplyFailed,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::NotJson,
        Self::NotAnEvent,
        Self::MissingEventId,
        Self::MissingType,
        Self::MissingObject,
        Self::MissingKind,
        Self::MissingObjectId,
        Self::InvalidCreated,
        Self::TooDeep,
        Self::WrongMode,
        Self::WrongAccount,
        Self::UnknownType,
        Self::UnknownObject,
        Self::ApplyFailed,
    ];

    /// The name in the database, in metrics and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::NotAnEvent => "not_an_event",
            Self::MissingEventId => "missing_event_id",
            Self::MissingType => "missing_type",
            Self::MissingObject => "missing_object",
            Self::MissingKind => "missing_kind",
            Self::MissingObjectId => "missing_object_id",
            Self::InvalidCreated => "invalid_created",
            Self::TooDeep => "too_deep",
            Self::WrongMode => "wrong_mode",
            Self::WrongAccount => "wrong_account",
            Self::UnknownType => "unknown_type",
            Self::UnknownObject => "unknown_object",
            Self::ApplyFailed => "apply_failed",
        }
    }

    /// What a person can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotJson | Self::NotAnEvent | Self::MissingEventId | Self::MissingType => {
                "whoever holds the webhook secret sent something that is no event; find out who, then drop it"
            }
            Self::MissingObject | Self::MissingKind | Self::MissingObjectId | Self::InvalidCreated | Self::TooDeep => {
                "Stripe does not send this; if it did, keep it and report it, else drop it"
            }
            Self::WrongMode => "send the other mode's events to a database of their own, or drop it",
            Self::WrongAccount => "remove the Connect events from the endpoint, or drop it",
            Self::UnknownType | Self::UnknownObject => "the data is mirrored; update Billhook to give it its own table",
            Self::ApplyFailed => "see the detail, repair the database, then retry it",
        }
    }

    /// Whether rows are written all the same.
    pub fn is_applied(self) -> bool {
        matches!(self, Self::UnknownType | Self::UnknownObject)
    }
}
