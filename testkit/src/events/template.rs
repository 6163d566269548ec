//! A JSON text with places to fill, cheap enough to render millions of times.

use std::io::Write as _;

use crate::random::{push_letters, push_ordered, spread};

/// Length of an id after its prefix.
const ID_LETTERS: usize = 20;
/// Stripe's ids begin with letters that grow with time, so that rows made together lie together in an index.
const TIME_LETTERS: usize = 6;
/// Events that share these letters: about what a busy account makes in a second.
const EVENTS_PER_TIME: u64 = 1000;
/// Prices and products that the events of one run name, as a company's catalogue has them.
const CATALOGUE_SIZE: u64 = 50;
/// Seconds between the event and what the templates call older and later.
const MONTH_SECONDS: i64 = 30 * 86_400;

#[derive(Debug)]
enum Place {
    /// An id, told from the event's others by `slot`.
    Id { prefix: &'static str, slot: u64 },
    /// An id that few objects share, told by `slot`.
    Shared { prefix: &'static str, slot: u64 },
    /// Letters without meaning.
    Letters { slot: u64, letters: usize },
    /// Event time, plus so many seconds.
    Created(i64),
    /// The event's number.
    Number,
    /// Four digits.
    Small,
    /// An amount in cents.
    Amount,
}

/// Texts and the places between them.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<(&'static str, Option<Place>)>,
    object_prefix: &'static str,
}

impl Template {
    /// Reads a text with places written `~name~`.
    ///
    /// # Panics
    /// When a name is unknown: the templates are part of this crate, and its tests render each of them.
    pub(super) fn new(text: &'static str, object_prefix: &'static str) -> Self {
        let mut pieces = Vec::new();
        let mut parts = text.trim_end().split('~');
        while let Some(piece) = parts.next() {
            pieces.push((piece, parts.next().map(|name| place(name, object_prefix))));
        }
        Self { pieces, object_prefix }
    }

    /// Appends the text with every place filled.
    pub(super) fn render(&self, run: u64, number: u64, created: i64, out: &mut Vec<u8>) {
        let seed = seed(run, number);
        for (text, place) in &self.pieces {
            out.extend_from_slice(text.as_bytes());
            // Writing into a vector cannot fail.
            let _ = match place {
                None => Ok(()),
                Some(Place::Id { prefix, slot }) => {
                    push_id(out, prefix, seed, number, *slot);
                    Ok(())
                }
                Some(Place::Shared { prefix, slot }) => {
                    out.extend_from_slice(prefix.as_bytes());
                    push_letters(out, spread(run ^ spread(seed % CATALOGUE_SIZE)) ^ spread(*slot), ID_LETTERS);
                    Ok(())
                }
                Some(Place::Letters { slot, letters }) => {
                    push_letters(out, seed ^ spread(*slot), *letters);
                    Ok(())
                }
                Some(Place::Created(offset)) => write!(out, "{}", created + offset),
                Some(Place::Number) => write!(out, "{:08}", number),
                Some(Place::Small) => write!(out, "{}", 1000 + seed % 9000),
                Some(Place::Amount) => write!(out, "{}", 100 + seed % 100_000),
            };
        }
    }

    /// The id that stands at the places of this name (`event` or `object`).
    pub(super) fn id(&self, run: u64, number: u64, name: &str) -> String {
        let mut out = Vec::new();
        if let Place::Id { prefix, slot } = place(name, self.object_prefix) {
            push_id(&mut out, prefix, seed(run, number), number, slot);
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn seed(run: u64, number: u64) -> u64 {
    spread(run ^ spread(number))
}

fn push_id(out: &mut Vec<u8>, prefix: &str, seed: u64, number: u64, slot: u64) {
    out.extend_from_slice(prefix.as_bytes());
    push_ordered(out, number / EVENTS_PER_TIME, TIME_LETTERS);
    push_letters(out, seed ^ spread(slot), ID_LETTERS - TIME_LETTERS);
}

fn place(name: &str, object_prefix: &'static str) -> Place {
    let id = |prefix, slot| Place::Id { prefix, slot };
    let shared = |prefix, slot| Place::Shared { prefix, slot };
    match name {
        "event" => id("evt_1", 1),
        "object" => id(object_prefix, 2),
        "customer" => id("cus_", 3),
        "request" => id("req_", 4),
        "method" => id("pm_1", 5),
        "intent" => id("pi_3", 6),
        "balance" => id("txn_3", 7),
        "taxid" => id("txi_1", 8),
        "subscription" => id("sub_1", 9),
        "rate" => shared("txr_1", 10),
        "line1" => id("il_1", 11),
        "line2" => id("il_1", 12),
        "line3" => id("il_1", 21),
        "item1" => id("si_", 13),
        "item2" => id("si_", 14),
        "item3" => id("si_", 22),
        "price1" => shared("price_1", 15),
        "price2" => shared("price_1", 16),
        "price3" => shared("price_1", 23),
        "product1" => shared("prod_", 17),
        "product2" => shared("prod_", 18),
        "product3" => shared("prod_", 24),
        "key" => Place::Letters { slot: 19, letters: 36 },
        "finger" => Place::Letters { slot: 20, letters: 16 },
        "created" => Place::Created(0),
        "older" => Place::Created(-MONTH_SECONDS),
        "later" => Place::Created(MONTH_SECONDS),
        "number" => Place::Number,
        "small" => Place::Small,
        "amount" => Place::Amount,
        _ => panic!("unknown place ~{name}~ in a template"),
    }
}
