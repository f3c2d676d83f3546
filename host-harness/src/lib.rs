//! The hands: lends a sandboxed plugin its powers, one tenant at a time.
//!
//! [`plugin`] runs the component, [`capability`] is what it can reach, [`store`] keeps everything, [`seal`] keeps the
//! keys, [`cli`] is what people type.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod capability;
pub mod cli;
mod json_text;
pub mod plugin;
pub mod seal;
pub mod store;
