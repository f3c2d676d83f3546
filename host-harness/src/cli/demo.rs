//! `demo`

use clap::Args;

use super::{Failure, Global, Outcome};

/// The story.
#[derive(Debug, Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self, _global: &Global) -> Outcome {
        Err(Failure::failed("being built"))
    }
}
