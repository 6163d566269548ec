//! Runs the fuzz targets' properties on mutations of a small corpus: the same mutations every time.

use crate::properties;

/// Mutated inputs for each property.
const ROUNDS: usize = 40_000;

const SIGNATURES: &[&str] = &[
    "t=1700000000,v1={good}\n{}",
    "t=1699999700,v0={good},v1={good}\nbody",
    "t=1700000300,v1=00,v1={good},v1=\nbody",
    "t=1700000301,v1={good}\nbody",
    "t=1,t=1700000000,v1={good}\nbody",
    "v1={good},t=1700000000\n",
];

const DOCUMENTS: &[&str] = &[
    r#"{"id":"evt_1","object":"event","type":"customer.updated","created":1700000000,"livemode":false,"api_version":"2026-10-28.endive",
        "account":"acct_1","context":null,"request":{"id":"req_1","idempotency_key":"key"},"pending_webhooks":1,
        "data":{"object":{"id":"cus_1","object":"customer","deleted":true,"metadata":{"a":"b\u0041\ud83d\ude00"},"n":[1,-2.5,3e2,null]},
        "previous_attributes":{"name":null}}}"#,
    r#"{"id":"evt_2","object":"v2.core.event","type":"v1.customer.created","created":"2026-11-20T17:00:00.123Z","livemode":true,
        "related_object":{"id":"cus_1","type":"customer","url":"/v1/customers/cus_1"},"snapshot_event":"evt_1","reason":{"type":"request",
        "request":{"id":"req_2","idempotency_key":"key"}}}"#,
    r#"{"a":"\u0000","\ud800":"\\u0000","b":["\udc00\ud800\udc00","\uD83D\uDE00"],"c":1e400,"d":-0,"e":1E-301,"f":0.1e+300}"#,
    r#"[123456789012345678901234567890123456789012345678901234567890,1234567890123456789012345678901234567890123456789012345678901]"#,
    r#"{"data":[{"object":{}}],"data":{"object":{"id":"x","id":5}}} "#,
    r#" "text" "#,
];

/// Pieces that mutations insert.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\\\u0000",
    "\u{feff}",
    "\0",
    "\n",
    " ",
    "-",
    "0",
    "1",
    ".",
    "e400",
    "E-",
    "+",
    "9999999999999999999",
    "true",
    "null",
    "{}",
    "[]",
    "\"id\":",
    "\"data\":",
    "\"object\":",
    "\"created\":",
    "\u{fffd}",
    "é",
    "t=",
    "v1=",
    "v0=",
    "{good}",
    "1700000000",
    "00000000",
];

/// Marsaglia's xorshift: enough chance for a test, and the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(12)).min(input.len());
            match self.below(5) {
                0 if at < input.len() => input[at] = self.below(256) as u8,
                1 => drop(input.drain(at..end)),
                2 => {
                    let copy = input[at..end].to_vec();
                    let to = self.below(input.len() + 1);
                    input.splice(to..to, copy);
                }
                3 => input.truncate(at.max(1)),
                _ => drop(input.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
            }
        }
    }
}

fn run(corpus: &[&str], property: fn(&[u8])) {
    corpus.iter().for_each(|input| property(input.as_bytes()));
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS {
        let mut input = corpus[chance.below(corpus.len())].as_bytes().to_vec();
        chance.mutate(&mut input);
        property(&input);
    }
}

#[test]
fn any_signature() {
    run(SIGNATURES, properties::signature);
}

#[test]
fn any_envelope() {
    run(DOCUMENTS, properties::envelope);
}

#[test]
fn any_document() {
    run(DOCUMENTS, |input| properties::sanitise(&String::from_utf8_lossy(input)));
}
