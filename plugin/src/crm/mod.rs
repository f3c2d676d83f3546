//! The CRM's side: how its records are read and written.

mod contact;

pub use contact::{COLLECTION, Contact, Names, NewContact, deactivation, update};
