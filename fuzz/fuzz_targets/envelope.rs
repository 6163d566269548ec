//! Any bytes as the body of a delivery.
#![no_main]

#[path = "../../stripe/tests/it/properties.rs"]
#[expect(dead_code, reason = "each target runs one of the properties")]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::envelope(input));
