//! The simulator against Stripe's rules.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has to fail")]

mod account;
mod books;
mod business_discounts;
mod business_dunning;
mod business_life;
mod business_proration;
mod business_shapes;
mod business_story;
mod business_sums;
mod business_versions;
mod business_writes;
mod client;
mod deliveries;
mod errors;
mod events;
mod faults;
mod lists;
mod omissions;
mod paging;
mod seeds;
mod writes;
