//! The sandbox from outside: real sockets on loopback.

// The lints are relaxed inside of `cfg(test)` only, which an integration test has to say for itself.
#[cfg(test)]
mod client;
#[cfg(test)]
mod control;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod vendor;
