//! "Did you mean …" for mistyped names.

/// The known name nearest to `typed`, when one is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let furthest = (typed.chars().count() / 4).clamp(1, 3);
    known
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Number of characters to insert, remove or replace to get from one text to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.chars().enumerate() {
        let mut diagonal = row;
        let mut beside = row + 1;
        let mut current = vec![beside];
        for (right, above) in to.iter().zip(previous.iter().skip(1)) {
            beside = (diagonal + usize::from(left != *right)).min(above + 1).min(beside + 1);
            diagonal = *above;
            current.push(beside);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (from, to, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["ingest.lag_seconds_max", "ingest.deadline_ms", "listen"];
        assert_eq!(nearest("ingest.lag_second_max", known.into_iter()), Some("ingest.lag_seconds_max"));
        assert_eq!(nearest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
