//! The powers a plugin may be lent. What is not here does not exist for it.
//!
//! One import of the contract, one struct, one file. Every struct is bound to one tenant when it is made; the
//! guest has no words to address another.

pub mod clock;
pub mod http;
pub mod logging;
pub mod storage;
