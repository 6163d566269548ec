//! The simulator against Stripe's rules.
