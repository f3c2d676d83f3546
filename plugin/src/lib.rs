//! The brain: keeps a CRM and Metakocka in step and owns nothing.
//!
//! All logic is written against the four traits of [`ports`], so it runs as a component (`component.rs`, the only
//! file that knows the generated bindings) and natively in tests.
//!
//! Reading order: [`sync::run`] tells what a run does; [`metakocka`] knows the ERP; [`crm`] the CRM's
//! contacts; [`ledger`] what the plugin remembers between runs; [`model`] the words they share.

#[cfg(target_family = "wasm")]
mod component;

pub mod crm;
pub mod ledger;
pub mod metakocka;
pub mod model;
pub mod ports;
pub mod sync;
