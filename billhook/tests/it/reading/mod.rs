//! Reading from Stripe, against the simulated account: the program over its real ports, row by row.

mod api_faults;
mod contract;
mod equality;
mod kill;
mod network;
mod oracle;
mod storm;
mod world;
