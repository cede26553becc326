use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use bedrock_tpm::{
    Clock, Diagnosis, Emulator, EmulatorConfig, EmulatorServer, Endpoint, Request, Result, Target,
};
use clap::Args;
use serde::Serialize;

use super::args::TargetArgs;
use super::{FAILURE, ask, print};

#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What was checked, in order; the first failure ends it.
#[derive(Default, Serialize)]
struct Findings {
    ok: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let clock = Clock::scaled(self.target.scale())?;
        let (target, _server) = match self.target.target() {
            Some(target) => (target, None),
            None => {
                let emulator = Emulator::new(EmulatorConfig::default(), clock)?;
                let server = EmulatorServer::on_loopback(Arc::new(emulator), 0)?;
                (Target::Url { url: server.url().into(), region: self.target.region.clone() }, Some(server))
            }
        };
        let model = self.target.model();
        let may_spend = target.may_spend(clock)?;
        if may_spend && !self.target.yes {
            ask(&format!("This sends one request of about 20 tokens to {model}."))?;
        }
        let mut findings = Findings::default();
        match Endpoint::connect(&target, self.target.timeouts(), clock).await {
            Err(error) if error.is_usage() => return Err(error),
            Err(error) => findings.failed = Some(error.to_string()),
            Ok(endpoint) => {
                findings.ok.push(match may_spend {
                    true => format!("credentials found, Region {}", endpoint.region()),
                    false => "the endpoint is on this machine and needs no credentials".into(),
                });
                findings.request(&endpoint, &model).await;
            }
        }
        print(&findings, self.json)?;
        Ok(if findings.failed.is_none() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
    }
}

impl Findings {
    async fn request(&mut self, endpoint: &Endpoint, model: &str) {
        let request = Request { model: model.into(), prompt: "Hi".into(), max_tokens: 1 };
        let response = endpoint.send(&request).await;
        if let Some(Diagnosis { what, remedy }) = endpoint.diagnose(model, &response) {
            (self.failed, self.remedy) = (Some(what), Some(remedy));
            return;
        }
        let usage = response.usage.unwrap_or_default();
        self.ok.push(format!(
            "{model} answered after {:.1} s: {} tokens in, {} out (request {})",
            response.finished.seconds_since(response.sent),
            usage.input_tokens,
            usage.output_tokens,
            response.request_id.as_deref().unwrap_or("without id")
        ));
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ok.iter().try_for_each(|found| writeln!(f, "ok      {found}"))?;
        self.failed.iter().try_for_each(|what| writeln!(f, "failed  {what}"))?;
        self.remedy.iter().try_for_each(|remedy| writeln!(f, "fix     {remedy}"))
    }
}
