//! Amounts in minor units. Integers only.

/// Currencies without minor units.
const WITHOUT_DECIMALS: [&str; 15] =
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"];
/// Currencies with three decimals, of which the last has to be zero.
const THREE_DECIMALS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// How many decimals a currency's amounts have.
pub(crate) fn decimals(currency: &str) -> u32 {
    match currency {
        code if WITHOUT_DECIMALS.contains(&code) => 0,
        code if THREE_DECIMALS.contains(&code) => 3,
        _ => 2,
    }
}

/// The smallest step an amount of the currency may have: 10 for currencies with three decimals, 100 for the króna.
pub(crate) fn step(currency: &str) -> i64 {
    match currency {
        "isk" => 100,
        code if THREE_DECIMALS.contains(&code) => 10,
        _ => 1,
    }
}

/// `€29.00`, `¥500`, `5.120 KWD`: an amount for people.
pub(crate) fn display(amount: i64, currency: &str) -> String {
    let decimals = decimals(currency);
    let unit = 10_u64.pow(decimals);
    let sign = if amount < 0 { "-" } else { "" };
    let whole = amount.unsigned_abs() / unit;
    let number = match decimals {
        0 => whole.to_string(),
        _ => format!("{whole}.{:0width$}", amount.unsigned_abs() % unit, width = decimals as usize),
    };
    match currency {
        "usd" => format!("{sign}${number}"),
        "eur" => format!("{sign}€{number}"),
        "gbp" => format!("{sign}£{number}"),
        "jpy" => format!("{sign}¥{number}"),
        other => format!("{sign}{number} {}", other.to_uppercase()),
    }
}

/// `amount × part ÷ whole`, rounded half away from zero. A whole of zero gives zero.
pub(crate) fn share(amount: i64, part: i64, whole: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    let product = i128::from(amount) * i128::from(part);
    let whole = i128::from(whole);
    let half = whole.abs() / 2;
    let rounded =
        if (product < 0) == (whole < 0) { product + half * whole.signum() } else { product - half * whole.signum() };
    i64::try_from(rounded / whole).unwrap_or(i64::MAX)
}

/// As [`share`], to a whole step of the currency.
pub(crate) fn share_in(currency: &str, amount: i64, part: i64, whole: i64) -> i64 {
    let step = step(currency);
    share(amount, part, whole.saturating_mul(step)) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_for_people() {
        let cases = [
            (2900, "eur", "€29.00"),
            (500, "jpy", "¥500"),
            (5120, "kwd", "5.120 KWD"),
            (-5, "usd", "-$0.05"),
            (50_000, "isk", "500.00 ISK"),
        ];
        for (amount, currency, text) in cases {
            assert_eq!(display(amount, currency), text);
        }
    }

    #[test]
    fn shares_are_rounded_half_away_from_zero() {
        assert_eq!([share(5, 1, 2), share(-5, 1, 2), share(1, 1, 3), share(2, 1, 3), share(7, 0, 0)], [3, -3, 0, 1, 0]);
        assert_eq!(share(-1000, 10, 30), -333);
        assert_eq!(
            [share_in("kwd", 5120, 1, 3), share_in("isk", 1000, 1, 3), share_in("jpy", 1000, 1, 3)],
            [1710, 300, 333]
        );
    }
}
