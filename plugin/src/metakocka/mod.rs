//! The ERP: its endpoints and quirks. Only `*/wire.rs` knows the vendor's JSON.

mod absence;
pub mod client;
pub mod elements;
pub mod envelope;
pub mod outcome;
pub mod partner;
pub mod words;
