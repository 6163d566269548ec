//! What comes in: every kind of event, hostile bodies, forged signatures, storms and repetitions, through the HTTP port of the
//! real program, and what users then find with SQL and on the command line.

mod burst;
mod commands;
mod compare;
mod defects;
mod duplicates;
mod fixtures;
mod hostile;
mod mirror;
mod order;
mod queries;
mod recorded;
mod samples;
mod signatures;
mod types;
