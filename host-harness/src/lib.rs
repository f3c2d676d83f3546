//! The hands: lends a sandboxed plugin its powers, one tenant at a time.

pub mod seal;
pub mod store;
