//! Faults W11 and C3, and the cases of RUSTSEC-2024-0010.

use billhook_core::Secret;
use billhook_stripe::signature::{SignatureError, Verified, Verifier, sign};

const NOW: i64 = 1_700_000_000;
const TOLERANCE_SECONDS: i64 = 300;
const BODY: &[u8] = br#"{"id":"evt_1"}"#;

fn secret() -> Secret {
    Secret::new("whsec_first")
}

fn verify(header: &str) -> Result<Verified, SignatureError> {
    Verifier::new(&[secret()]).verify(header, BODY, NOW, TOLERANCE_SECONDS)
}

/// The right signature at [`NOW`].
fn good() -> String {
    sign(&secret(), NOW, BODY).split_off("t=1700000000,v1=".len())
}

#[test]
fn a_known_signature() {
    // Computed with `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_first`.
    let known = "1e3d4a587cb2a36f93d7444746133dcfcd077e60212c2413513da26d6ddb0cbb";
    assert_eq!(sign(&secret(), NOW, BODY), format!("t={NOW},v1={known}"));
    assert_eq!(verify(&format!("t={NOW},v1={known}")), Ok(Verified { secret_index: 0, timestamp: NOW }));
}

#[test]
fn refused_headers() {
    let good = good();
    let cases = [
        ("empty header", String::new(), SignatureError::Malformed),
        ("only commas", ",,,".to_owned(), SignatureError::Malformed),
        ("no v1", format!("t={NOW}"), SignatureError::Malformed),
        ("no t", format!("v1={good}"), SignatureError::Malformed),
        ("empty v1", format!("t={NOW},v1="), SignatureError::Malformed),
        ("v1 without a value", format!("t={NOW},v1"), SignatureError::Malformed),
        ("the empty signature of another scheme", format!("t={NOW},v1,"), SignatureError::Malformed),
        ("one character", format!("t={NOW},v1={}", &good[..1]), SignatureError::Malformed),
        ("one byte", format!("t={NOW},v1={}", &good[..2]), SignatureError::Malformed),
        ("odd length", format!("t={NOW},v1={}", &good[..63]), SignatureError::Malformed),
        ("truncated", format!("t={NOW},v1={}", &good[..62]), SignatureError::Malformed),
        ("over-long by one character", format!("t={NOW},v1={good}0"), SignatureError::Malformed),
        ("over-long by one byte", format!("t={NOW},v1={good}00"), SignatureError::Malformed),
        ("twice the signature", format!("t={NOW},v1={good}{good}"), SignatureError::Malformed),
        ("upper case", format!("t={NOW},v1={}", good.to_uppercase()), SignatureError::Malformed),
        ("not hexadecimal", format!("t={NOW},v1={}", "g".repeat(64)), SignatureError::Malformed),
        ("unicode of the right length", format!("t={NOW},v1={}", "é".repeat(32)), SignatureError::Malformed),
        ("unicode", "t=1700000000,v1=☃".to_owned(), SignatureError::Malformed),
        ("v0 only", format!("t={NOW},v0={good}"), SignatureError::Malformed),
        ("v2 only", format!("t={NOW},v2={good}"), SignatureError::Malformed),
        ("V1", format!("t={NOW},V1={good}"), SignatureError::Malformed),
        ("a space before the scheme", format!("t={NOW}, v1={good}"), SignatureError::Malformed),
        ("a second equals sign", format!("t={NOW},v1=={good}"), SignatureError::Malformed),
        ("two t", format!("t={NOW},t={NOW},v1={good}"), SignatureError::Malformed),
        ("two t, the second last", format!("t={NOW},v1={good},t=1"), SignatureError::Malformed),
        ("empty t", format!("t=,v1={good}"), SignatureError::Malformed),
        ("negative t", format!("t=-{NOW},v1={good}"), SignatureError::Malformed),
        ("signed t", format!("t=+{NOW},v1={good}"), SignatureError::Malformed),
        ("fractional t", format!("t={NOW}.0,v1={good}"), SignatureError::Malformed),
        ("t with a space", format!("t= {NOW},v1={good}"), SignatureError::Malformed),
        ("t in other digits", format!("t=١٧٠٠,v1={good}"), SignatureError::Malformed),
        ("t above 64 bits", format!("t=9223372036854775808,v1={good}"), SignatureError::Malformed),
        ("t of 30 digits", format!("t={},v1={good}", "0".repeat(30)), SignatureError::Malformed),
        ("tampered t", format!("t={},v1={good}", NOW + 1), SignatureError::Mismatch),
        ("t with a leading zero", format!("t=0{NOW},v1={good}"), SignatureError::Mismatch),
        ("another signature", format!("t={NOW},v1={}", "0".repeat(64)), SignatureError::Mismatch),
        (
            "the signature reversed",
            format!("t={NOW},v1={}", good.chars().rev().collect::<String>()),
            SignatureError::Mismatch,
        ),
        ("64 kB", format!("t={NOW},v1={}", "a".repeat(64 * 1024)), SignatureError::Malformed),
        ("64 kB of commas", format!("t={NOW}{}", ",".repeat(64 * 1024)), SignatureError::Malformed),
    ];
    for (name, header, expected) in cases {
        assert_eq!(verify(&header), Err(expected), "{name}");
    }
    let other = sign(&Secret::new("whsec_other"), NOW, BODY);
    assert_eq!(verify(&other), Err(SignatureError::Mismatch), "another secret");
}

#[test]
fn accepted_headers() {
    let good = good();
    let wrong = "0".repeat(64);
    let cases = [
        ("v1 before t", format!("v1={good},t={NOW}")),
        ("with v0", format!("t={NOW},v1={good},v0=ff")),
        ("with an unknown scheme", format!("t={NOW},v9=x,v1={good},nonsense,")),
        ("the second of two", format!("t={NOW},v1={wrong},v1={good}")),
        ("the first of two", format!("t={NOW},v1={good},v1={wrong}")),
        ("beside malformed ones", format!("t={NOW},v1=,v1={},v1={good}", good.to_uppercase())),
    ];
    for (name, header) in cases {
        assert_eq!(verify(&header), Ok(Verified { secret_index: 0, timestamp: NOW }), "{name}");
    }
}

#[test]
fn the_body_counts_byte_for_byte() {
    let header = format!("t={NOW},v1={}", good());
    let verifier = Verifier::new(&[secret()]);
    for body in [&br#"{"id":"evt_2"}"#[..], br#"{"id":"evt_1"} "#, br#"{"id":"evt_1"#, &[0xff, 0xfe]] {
        assert_eq!(verifier.verify(&header, body, NOW, TOLERANCE_SECONDS), Err(SignatureError::Mismatch));
    }
    let not_text = [0xff, 0x00, 0xfe];
    let header = sign(&secret(), NOW, &not_text);
    assert!(verifier.verify(&header, &not_text, NOW, TOLERANCE_SECONDS).is_ok());
    let header = sign(&secret(), NOW, b"");
    assert_eq!(verifier.verify(&header, b"", NOW, TOLERANCE_SECONDS), Err(SignatureError::EmptyBody));
}

#[test]
fn the_edges_of_the_tolerance_are_exact_on_both_sides() {
    let header = format!("t={NOW},v1={}", good());
    let verifier = Verifier::new(&[secret()]);
    for skew_seconds in [-300, -299, 0, 299, 300] {
        let result = verifier.verify(&header, BODY, NOW + skew_seconds, TOLERANCE_SECONDS);
        assert_eq!(result, Ok(Verified { secret_index: 0, timestamp: NOW }), "{skew_seconds}");
    }
    for skew_seconds in [-86_400, -301, 301, 86_400] {
        let result = verifier.verify(&header, BODY, NOW + skew_seconds, TOLERANCE_SECONDS);
        assert_eq!(result, Err(SignatureError::Time { skew_seconds }), "{skew_seconds}");
    }
}

#[test]
fn extreme_times_do_not_overflow() {
    let verifier = Verifier::new(&[secret()]);
    for (timestamp, now) in [(i64::MAX, i64::MIN), (0, i64::MIN), (i64::MAX, 0), (0, i64::MAX)] {
        let header = sign(&secret(), timestamp, BODY);
        let result = verifier.verify(&header, BODY, now, TOLERANCE_SECONDS);
        assert!(matches!(result, Err(SignatureError::Time { .. })), "{timestamp} at {now}");
        assert!(verifier.verify(&header, BODY, timestamp, -1).is_ok(), "a negative tolerance is none");
    }
}

#[test]
fn only_an_authentic_delivery_reports_the_clock() {
    let forged = format!("t=1,v1={}", "0".repeat(64));
    assert_eq!(verify(&forged), Err(SignatureError::Mismatch));
}

#[test]
fn the_secret_that_matched_is_told() {
    let secrets = [Secret::new("whsec_old"), Secret::new("whsec_new"), Secret::new("whsec_new")];
    let verifier = Verifier::new(&secrets);
    let old = sign(&secrets[0], NOW, BODY);
    let new = sign(&secrets[1], NOW, BODY);
    let index =
        |header: &str| verifier.verify(header, BODY, NOW, TOLERANCE_SECONDS).map(|verified| verified.secret_index);
    assert_eq!(index(&old), Ok(0));
    assert_eq!(index(&new), Ok(1));
    let (_, old_signature) = old.split_once(',').unwrap();
    assert_eq!(index(&format!("{new},{old_signature}")), Ok(0), "while a secret is rolled, both signatures are sent");
    assert_eq!(Verifier::new(&[]).verify(&old, BODY, NOW, TOLERANCE_SECONDS), Err(SignatureError::Mismatch));
}

#[test]
fn at_most_32_candidates_are_checked() {
    let good = good();
    let wrong = format!("v1={}", "0".repeat(64));
    let behind = |count: usize| format!("t={NOW},{},v1={good}", vec![wrong.as_str(); count].join(","));
    assert!(verify(&behind(31)).is_ok());
    assert_eq!(verify(&behind(32)), Err(SignatureError::Mismatch));
    assert_eq!(verify(&behind(10_000)), Err(SignatureError::Mismatch));
    let first = format!("t={NOW},v1={good},{}", vec![wrong.as_str(); 10_000].join(","));
    assert!(verify(&first).is_ok());
}

#[test]
fn a_verifier_shows_no_secret() {
    assert_eq!(format!("{:?}", Verifier::new(&[secret()])), "Verifier { secrets: 1 }");
}

#[test]
fn an_empty_secret_is_none_and_positions_stay() {
    let blank = [Secret::new(""), Secret::new(" "), secret()];
    for forged in [Secret::new(""), Secret::new(" ")] {
        let refused = Verifier::new(&blank).verify(&sign(&forged, NOW, BODY), BODY, NOW, TOLERANCE_SECONDS);
        assert_eq!(refused, Err(SignatureError::Mismatch));
    }
    let verified = Verifier::new(&blank).verify(&sign(&secret(), NOW, BODY), BODY, NOW, TOLERANCE_SECONDS);
    assert_eq!(verified.map(|verified| verified.secret_index), Ok(2));
}
