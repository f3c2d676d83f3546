//! One file per stage of a run: pull, link, merge, plan, reconcile and create (the two halves of a push), apply, report.
//! [`run`] tells the story.

pub mod adopt;
pub mod apply;
pub mod context;
pub mod create;
pub mod effect;
pub mod forecast;
pub mod identity;
pub mod index;
pub mod link;
pub mod listed;
mod look;
pub mod merge;
pub mod plan;
pub mod pull;
pub mod push;
pub mod reconcile;
pub mod reconsider;
pub mod release;
pub mod rename;
pub mod report;
pub mod request;
pub mod run;
pub mod same_company;
pub mod settings;
pub mod unclear;
pub mod unreadable;
pub mod unsynced;
