//! Adding up what the test runners say.

/// Start of the reason with which a test is marked as ignored that another test runs in a process of its own: it is not
/// skipped.
const RUN_BY_ANOTHER: &str = "started by another test";

/// Results of one or more runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Tests that passed.
    pub(super) passed: u64,
    /// Tests that failed.
    pub(super) failed: u64,
    /// A line for each test that did not run, with the reason.
    pub(super) skipped: Vec<String>,
    /// Whether a runner failed in a way that its counts may not show: a build error, a crash.
    pub(super) broken: bool,
}

impl Count {
    /// Adds another part.
    pub(super) fn add(&mut self, part: Self) {
        self.passed += part.passed;
        self.failed += part.failed;
        self.skipped.extend(part.skipped);
        self.broken |= part.broken;
    }

    /// Takes a line that `cargo test` printed.
    pub(super) fn read_cargo_line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some((name, reason)) = ignored_test(line)
            && !reason.starts_with(RUN_BY_ANOTHER)
        {
            self.skipped.push(format!("{name}: {reason}"));
        }
    }

    /// Takes a line of the summary that Node's runner writes in the TAP format.
    pub(super) fn read_tap_line(&mut self, line: &str) {
        let value = |name: &str| line.strip_prefix(name).and_then(|text| text.trim().parse().ok()).unwrap_or(0_u64);
        self.passed += value("# pass ");
        self.failed += value("# fail ") + value("# cancelled ");
        if let Some((name, reason)) = line.split_once(" # SKIP").or_else(|| line.split_once(" # TODO")) {
            let name =
                name.trim().trim_start_matches("ok ").trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            self.skipped.push(format!("Node{name}:{reason}").replacen("Node- ", "Node: ", 1));
        }
    }

    /// Takes a line that Python's `unittest` wrote with `-v`.
    pub(super) fn read_unittest_line(&mut self, line: &str) {
        if let Some(ran) = line.strip_prefix("Ran ") {
            self.passed += ran.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0_u64);
        } else if let Some((name, reason)) = line.split_once(" ... skipped ") {
            self.skipped.push(format!("Python: {name}: {reason}"));
        } else if let Some(bad) = line.strip_prefix("FAILED (") {
            let failed = number_after(bad, "failures=") + number_after(bad, "errors=");
            self.failed += failed;
            self.passed = self.passed.saturating_sub(failed + number_after(bad, "skipped="));
        } else if let Some(good) = line.strip_prefix("OK (") {
            self.passed = self.passed.saturating_sub(number_after(good, "skipped="));
        }
    }
}

/// The number that stands right after `word`.
fn number_after(text: &str, word: &str) -> u64 {
    let Some((_, after)) = text.split_once(word) else { return 0 };
    let digits = after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().unwrap_or(0)
}

/// The number that stands right before `word`.
fn number_before(text: &str, word: &str) -> u64 {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Name and reason of `test name ... ignored, reason`.
fn ignored_test(line: &str) -> Option<(&str, &str)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let reason = result.strip_prefix("ignored")?;
    Some((name, reason.strip_prefix(", ").unwrap_or("marked as ignored")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_are_added_up() {
        let mut count = Count::default();
        for line in [
            "test a ... ok",
            "test b::c ... ignored, needs a camera",
            "test b::d ... ignored, started by another test: it is the server of that one",
            "test result: FAILED. 18 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.87s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            count.read_cargo_line(line);
        }
        let skipped = vec!["b::c: needs a camera".to_owned()];
        assert_eq!(count, Count { passed: 21, failed: 2, skipped, broken: false });
    }

    #[test]
    fn lines_of_python_are_added_up() {
        let mut count = Count::default();
        for line in [
            "test_one (test_x.Case.test_one) ... ok",
            "test_two (test_x.Case.test_two) ... skipped 'no server'",
            "Ran 6 tests in 1.2s",
            "FAILED (failures=1, errors=2, skipped=1)",
        ] {
            count.read_unittest_line(line);
        }
        let skipped = vec!["Python: test_two (test_x.Case.test_two): 'no server'".to_owned()];
        assert_eq!(count, Count { passed: 2, failed: 3, skipped, broken: false });
    }

    #[test]
    fn lines_of_node_are_added_up() {
        let mut count = Count::default();
        for line in
            ["ok 3 - reads rows # SKIP no server", "# tests 5", "# pass 3", "# fail 1", "# cancelled 1", "# skipped 1"]
        {
            count.read_tap_line(line);
        }
        let skipped = vec!["Node: reads rows: no server".to_owned()];
        assert_eq!(count, Count { passed: 3, failed: 2, skipped, broken: false });
    }
}
