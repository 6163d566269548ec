//! The simulator against Stripe's rules.
mod business_life;
