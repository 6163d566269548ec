//! Statements that a function must not run, by their first word.

use super::SqlError;

/// They would end the transaction, leave something on a connection that others use after it, reach for other files, or wait for data
/// that nobody sends.
const FORBIDDEN: &[&str] = &[
    "ABORT",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "COPY",
    "DEALLOCATE",
    "DETACH",
    "DISCARD",
    "END",
    "LISTEN",
    "PRAGMA",
    "PREPARE",
    "RELEASE",
    "RESET",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
    "UNLISTEN",
    "VACUUM",
];

/// Refuses a statement that begins with a forbidden word. Comments may be nested on PostgreSQL and not on SQLite.
pub(crate) fn check(sql: &str, comments_nest: bool) -> Result<(), SqlError> {
    if sql.contains('\0') {
        // SQLite would ignore what follows.
        return Err(SqlError::Parameter("a statement holds a NUL character; pass values as parameters".to_owned()));
    }
    let rest = skip(sql, comments_nest);
    let end = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
    let word = rest[..end].to_ascii_uppercase();
    match FORBIDDEN.binary_search(&word.as_str()) {
        Ok(_) => Err(SqlError::Forbidden { keyword: word }),
        Err(_) => Ok(()),
    }
}

/// What follows white space, comments and empty statements.
fn skip(mut sql: &str, comments_nest: bool) -> &str {
    loop {
        sql = sql.trim_start_matches(|character: char| {
            character.is_whitespace() || matches!(character, ';' | '\u{b}' | '\u{feff}')
        });
        if let Some(comment) = sql.strip_prefix("--") {
            sql = comment.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
        } else if let Some(comment) = sql.strip_prefix("/*") {
            sql = behind_comment(comment, comments_nest);
        } else {
            return sql;
        }
    }
}

fn behind_comment(comment: &str, comments_nest: bool) -> &str {
    let mut depth = 1;
    let mut rest = comment;
    while depth > 0 {
        let Some(end) = rest.find("*/") else { return "" };
        match rest.find("/*").filter(|begin| comments_nest && *begin < end) {
            Some(begin) => {
                depth += 1;
                rest = &rest[begin + 2..];
            }
            None => {
                depth -= 1;
                rest = &rest[end + 2..];
            }
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(FORBIDDEN.is_sorted());
    }

    #[test]
    fn the_first_word_counts_wherever_it_stands() {
        for sql in
            ["COMMIT", " \n;commit;", "-- why\nRollback to a", "/* a */ /**/PRAGMA x", "/*/*/COMMIT", "\u{feff}begin"]
        {
            assert!(check(sql, false).is_err(), "{sql}");
        }
        for sql in ["/* /* */ COMMIT */ COMMIT", "/*/**/*/END", "-- a\r\nSET x = 1"] {
            assert!(check(sql, true).is_err(), "{sql}");
        }
        for sql in
            ["", "/*", "--", "SELECT 'COMMIT'", "(SELECT 1)", "ENDPOINT", "WITH a AS (SELECT 1) SELECT 1", "\"set\""]
        {
            assert!(check(sql, false).is_ok() && check(sql, true).is_ok(), "{sql}");
        }
        assert!(check("/* /* */ COMMIT */ SELECT 1", true).is_ok());
    }
}
