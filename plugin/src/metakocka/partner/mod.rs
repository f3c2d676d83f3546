//! Partners: what the ERP calls companies and persons one trades with.

mod rest;
mod translate;
mod wire;

pub use rest::Rest;
pub use translate::{Partner, Problem, Update, add_body, appends, emails, update_body, validate};
pub use wire::PartnerWire;
