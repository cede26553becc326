use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use bedrock_tpm::{Answers, Clock, Emulator, EmulatorServer, Result};
use clap::Args;

use super::args::{ChargeArgs, EmulatorArgs, QuotaArgs};
use super::{print_text, say, stop_requested};

#[derive(Args)]
pub(super) struct Emulate {
    #[command(flatten)]
    emulator: EmulatorArgs,
    #[command(flatten)]
    charges: ChargeArgs,
    #[command(flatten)]
    quotas: QuotaArgs,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8_080)]
    port: u16,
    /// Address to listen on; anyone who can reach it can use it
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// How many times faster than real time it lives: at 60 a minute lasts a second
    #[arg(long, default_value_t = 1, value_name = "N")]
    time_scale: u32,
    /// Seed of latency, faults and, without --mechanism, of the mechanism
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Emulate {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let config = self.emulator.config(self.quotas, self.charges, self.seed)?;
        let enforced = [
            config.tokens.map(|m| format!("tokens: {m}")),
            config.requests.map(|m| format!("requests: {m}")),
        ];
        let enforced = enforced.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let emulator = Arc::new(Emulator::new(config, Clock::scaled(self.time_scale)?)?);
        let server = EmulatorServer::start(emulator.clone(), SocketAddr::new(self.address, self.port))?;
        print_text(server.url())?;
        say(&format!("enforcing {enforced}; time scale {}; stop with Ctrl-C", self.time_scale));
        stop_requested().await;
        let Answers { admitted, throttled, unavailable } = emulator.answers();
        say(&format!(
            "admitted {admitted} requests, throttled {throttled} (429), failed {unavailable} (503)"
        ));
        Ok(ExitCode::SUCCESS)
    }
}
