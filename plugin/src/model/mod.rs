//! Words both sides share: ids, times, and the fields of a partner.

mod by_id;
mod canonical;
mod id;
mod partner;
mod time;

pub use by_id::{ById, Id, IdSet};
pub use canonical::{canonical, email_key, is_mobile, same, tax_key};
pub use id::{CrmId, IdMaker, MkId, RawHash};
pub use partner::{Field, Fields};
pub use time::{Time, parse_time};
