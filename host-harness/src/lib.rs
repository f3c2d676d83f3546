//! The hands: lends a sandboxed plugin its powers, one tenant at a time.

pub mod capability;
pub mod plugin;
pub mod store;
