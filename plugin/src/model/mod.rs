//! Words both sides share: ids, times, and the fields of a partner.

mod by_id;
mod canonical;
pub mod company_name;
pub mod country;
mod email;
mod id;
pub mod match_key;
mod partner;
mod phone;
pub mod spelling;
mod time;
mod vat;

pub use by_id::{ById, Id, IdSet};
pub use canonical::{canonical, email_key, same, tax_key};
pub use id::{CrmId, IdMaker, MkId, RawHash};
pub use partner::{Field, Fields};
pub use phone::is_mobile;
pub use time::{Time, parse_time};
