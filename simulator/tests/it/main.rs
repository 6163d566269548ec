//! The simulator against Stripe's rules.

mod account;
mod business_life;
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
