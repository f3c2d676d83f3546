//! `component`: the built plugin, for other hosts.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Failure, Global, Outcome, output};
use crate::plugin::{COMPONENT, imports};

/// Writes the component.
#[derive(Debug, Args)]
pub(crate) struct Component {
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Component {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        std::fs::write(&self.out, COMPONENT)
            .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", self.out.display())))?;
        let imports = imports(COMPONENT).map_err(Failure::failed)?;
        if global.json {
            output::print_json(&json!({ "file": self.out, "bytes": COMPONENT.len(), "imports": imports }));
        } else {
            output::print_line(format_args!(
                "{} ({} KiB). It asks its host for:",
                self.out.display(),
                COMPONENT.len() / 1024
            ));
            for import in imports {
                output::print_line(format_args!("  {import}"));
            }
        }
        Ok(())
    }
}
