//! `bench`

use clap::Subcommand;

use super::{Failure, Global, Outcome};

/// Measures.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Pull.
    Pull {},
}

impl Bench {
    pub(crate) async fn run(self, _global: &Global) -> Outcome {
        Err(Failure::failed("being built"))
    }
}
