//! `sandbox`: a local Metakocka.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::{Failure, Outcome, output};

/// Runs until it is stopped. The first line says how to reach it, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seed of the data: the same seed makes the same partners
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many partners there are at the start
    #[arg(long, default_value_t = 0)]
    partners: usize,
    /// Delay of every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// An unsettled point of the vendor's, otherwise than by default; GET /switches lists them
    #[arg(long = "switch", value_name = "NAME=VALUE")]
    switches: Vec<String>,
}

impl Sandbox {
    pub(crate) async fn run(self) -> Outcome {
        let mut switches = metakocka_sandbox::Switches::default();
        for pair in &self.switches {
            switches.set_pair(pair).map_err(Failure::usage)?;
        }
        let options = metakocka_sandbox::Options {
            listen: self.listen,
            seed: self.seed,
            partners: self.partners,
            latency: Duration::from_millis(self.latency_ms),
            switches,
            ..metakocka_sandbox::Options::default()
        };
        let mut running = metakocka_sandbox::start(options).await.map_err(Failure::usage)?;
        output::print_line(running.announcement());
        output::flush();
        if !output::is_open() {
            // Nobody will ever know where it listens.
            running.stop().await;
            return Ok(());
        }
        tokio::select! {
            () = running.wait() => {}
            _ = tokio::signal::ctrl_c() => running.stop().await,
        }
        Ok(())
    }
}
