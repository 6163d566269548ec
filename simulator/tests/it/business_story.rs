//! The company's story and the storm.

use std::collections::BTreeSet;

use billhook_simulator::story::{Story, storm};
use billhook_simulator::{Account, ClockMode, Options};

use crate::books::{Books, START};

/// Everything that happened: times, types and objects.
fn log(account: &Account) -> Vec<(i64, String, String)> {
    account.events().map(|event| (event.created, event.event_type.clone(), event.object_id.clone())).collect()
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = |seed| {
        let mut books = Books::new();
        let lines = Story::new(seed).run(&mut books.account, 40);
        (lines, log(&books.account))
    };
    let (first, second, other) = (tell(7), tell(7), tell(8));
    assert!(first == second);
    assert_ne!(first.0, other.0);
}

#[test]
fn the_story_does_not_depend_on_how_the_clock_is_moved() {
    let mut by_day = Books::new();
    let by_day_lines = Story::new(5).run(&mut by_day.account, 20);
    let mut at_once = Books::new();
    let mut story = Story::new(5);
    let mut lines = story.step(&mut at_once.account);
    at_once.account.advance(20 * 86_400);
    lines.extend(story.step(&mut at_once.account));
    assert_eq!(log(&by_day.account), log(&at_once.account));
    assert_eq!(by_day_lines.len(), lines.len());
}

#[test]
fn within_a_few_months_everything_has_happened() {
    let mut books = Books::new();
    let lines = Story::new(1).run(&mut books.account, 150);
    let types: BTreeSet<String> = books.account.events().map(|event| event.event_type.clone()).collect();
    for wanted in [
        "charge.dispute.created",
        "charge.failed",
        "charge.refunded",
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.deleted",
        "customer.discount.created",
        "customer.subscription.created",
        "customer.subscription.deleted",
        "customer.subscription.trial_will_end",
        "customer.subscription.updated",
        "invoice.paid",
        "invoice.payment_failed",
        "invoice.upcoming",
        "invoiceitem.created",
        "payout.paid",
        "review.opened",
    ] {
        assert!(types.contains(wanted), "{wanted} never happened: {types:?}");
    }
    let all: String = lines.iter().map(|line| format!("{} {}\n", line.day(), line.text)).collect();
    for words in [
        "subscribed to",
        "trial until",
        "could not pay",
        "is paying again",
        "changed from",
        "has left",
        "got ",
        "arrived at the bank",
    ] {
        assert!(all.contains(words), "nobody {words}:\n{all}");
    }
    assert!(lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let currencies: BTreeSet<String> =
        books.account.all("charge").map(|charge| charge["currency"].as_str().unwrap().to_owned()).collect();
    assert!(currencies.len() >= 4, "{currencies:?}");
}

#[test]
fn a_storm_is_the_same_for_the_same_seed_and_full_of_collisions() {
    let blow = |seed| {
        let mut account = Account::new(&Options { clock: ClockMode::Manual(START), ..Options::default() });
        storm(&mut account, 3_000, seed);
        account
    };
    let account = blow(11);
    assert!(log(&account) == log(&blow(11)));
    assert!(log(&account) != log(&blow(12)));
    let kinds: BTreeSet<&str> = account.events().map(|event| event.kind.as_str()).collect();
    assert!(kinds.len() >= 15, "{kinds:?}");
    let mut seen = BTreeSet::new();
    let collisions = account.events().filter(|event| !seen.insert((event.created, event.object_id.clone()))).count();
    assert!(collisions > 300, "{collisions}");
    let removed = account.events().filter(|event| event.event_type.ends_with(".deleted")).count();
    assert!(removed > 50, "{removed}");
}
