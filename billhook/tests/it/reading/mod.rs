//! Reading from Stripe, against the simulated account: the program over its real ports, row by row.

mod contract;
mod oracle;
mod world;
