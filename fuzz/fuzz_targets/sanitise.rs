//! Any text as a JSON document on its way into a database.
#![no_main]

#[path = "../../stripe/tests/it/properties.rs"]
#[expect(dead_code, reason = "each target runs one of the properties")]
mod properties;

libfuzzer_sys::fuzz_target!(|text: &str| properties::sanitise(text));
