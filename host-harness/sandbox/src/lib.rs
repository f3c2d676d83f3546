//! A local Metakocka for partners that behaves like the real one, oddities included.
//!
//! [`start`] opens two doors on one address: the vendor's own paths under [`Running::base_url`], and under
//! [`Running::control_url`] what the vendor does not have: its whole state, a log of every request, a
//! person's edits, and scripted faults. The facts it is built on are collected, page by page of the vendor's
//! documentation, in `METAKOCKA.md`; where those are silent, that file says what was chosen.
//!
//! ```no_run
//! # async fn example() -> Result<(), metakocka_sandbox::Error> {
//! let running = metakocka_sandbox::start(metakocka_sandbox::Options::default()).await?;
//! println!("{}", running.announcement());
//! running.stop().await;
//! # Ok(()) }
//! ```

mod server;

mod answer;
mod control;
mod distort;
mod endpoint;
mod exchange;
mod fault;
mod journal;
mod switches;

mod body;
mod country;
pub mod keys;
mod object;
mod partner;
mod refusal;
mod register;
mod search;
mod seed;

pub use exchange::{EditError, FaultError, Sandbox};
pub use server::{Error, Options, Running, start};
pub use switches::{SwitchError, Switches};
