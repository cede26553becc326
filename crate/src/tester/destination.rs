use super::padding::Padding;
use super::{BedrockTpmTester, EMBEDDED};
use crate::pairing::PAIRING;
use crate::trace::without_account_ids;
use crate::{Diagnosis, Endpoint, Error, Observation, Request, Response, Result, Side, Step, Target};

/// A second target, which may share the quota of the first: it is the first but for what is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherTarget {
    /// Another model id, inference profile or provisioned-throughput ARN.
    pub model: Option<String>,
    /// Another Region.
    pub region: Option<String>,
    /// Another endpoint.
    pub url: Option<String>,
}

/// Where requests of one model go, and how many tokens their words make there.
pub(super) struct Destination {
    pub endpoint: Endpoint,
    /// What it was connected to; `None` in-process.
    pub target: Option<Target>,
    /// What a trace calls the endpoint.
    pub address: String,
    pub model: String,
    pub padding: Padding,
}

/// A prompt of a wanted size.
#[derive(Clone, Copy)]
pub(super) struct Size {
    words: usize,
    /// Its tokens, as expected and at most.
    pub estimated: u64,
    pub at_most: u64,
}

impl Destination {
    pub(super) fn size(&self, input_tokens: u64) -> Size {
        let words = self.padding.words(input_tokens);
        Size { words, estimated: self.padding.estimate(words), at_most: self.padding.at_most(words) }
    }

    pub(super) async fn send(&mut self, size: Size, max_tokens: u32) -> Response {
        let prompt = Padding::prompt(size.words);
        let response = self.endpoint.send(&Request { model: self.model.clone(), prompt, max_tokens }).await;
        if let Some(usage) = response.usage {
            self.padding.learn(size.words, usage.input_tokens);
        }
        response
    }

    pub(super) fn diagnose(&self, response: &Response) -> Option<Diagnosis> {
        self.endpoint.diagnose(&self.model, response)
    }

    /// Model, Region and endpoint, as a trace names them.
    pub(super) fn place(&self) -> (String, String, String) {
        (without_account_ids(&self.model), self.endpoint.region().to_owned(), self.address.clone())
    }
}

impl BedrockTpmTester {
    /// Connects to a second target, for [`Pair`](crate::protocol::Pair) to tell whether it shares the quota. Sends nothing
    /// yet.
    ///
    /// # Errors
    /// A usage error if it is the first target, or not the one that the trace was paired with before; else as
    /// [`connect`](Self::connect).
    pub async fn pair_with(&mut self, other: &OtherTarget) -> Result<()> {
        let second = self.other_destination(other).await?;
        if second.place() == self.first.place() {
            return Err(Error::usage(
                "the second target is the first one; name another model, Region or endpoint",
            ));
        }
        let paired = self.trace.observations().iter().rfind(|seen| {
            seen.phase == PAIRING && Step::of(seen).is_some_and(|step| step.side == Side::Second)
        });
        let place = paired.map(|seen| (seen.model.clone(), seen.region.clone(), seen.endpoint.clone()));
        if let Some((model, region, endpoint)) = place.filter(|place| *place != second.place()) {
            return Err(Error::usage(format!(
                "the trace is paired with {model} in {region} at {endpoint}; pair it with the same, or begin a new trace"
            )));
        }
        self.second = Some(second);
        Ok(())
    }

    /// Sends one request of a pairing, of about `tokens` tokens, to the target that it is for.
    ///
    /// # Errors
    /// As [`make_bedrock_request`](Self::make_bedrock_request), and a usage error if there is no second target.
    pub(crate) async fn make_paired_request(&mut self, step: Step, tokens: u64) -> Result<Observation> {
        let max_tokens = self.settings.max_tokens;
        self.send(tokens.saturating_sub(u64::from(max_tokens)), max_tokens, 1, Some(step)).await
    }

    async fn other_destination(&self, other: &OtherTarget) -> Result<Destination> {
        let model = other.model.clone().unwrap_or_else(|| self.first.model.clone());
        let padding = Padding::default();
        let Some(target) = other.target(self.first.target.as_ref())? else {
            let (endpoint, address) = (self.first.endpoint.clone(), self.first.address.clone());
            return Ok(Destination { endpoint, target: self.first.target.clone(), address, model, padding });
        };
        let endpoint = Endpoint::connect(&target, self.settings.timeouts, self.clock).await?;
        let is_embedded = self.emulator.is_some() && other.url.is_none();
        let address = if is_embedded { EMBEDDED } else { endpoint.name() }.to_owned();
        Ok(Destination { endpoint, target: Some(target), address, model, padding })
    }

    pub(super) fn destination(&mut self, side: Side) -> Result<&mut Destination> {
        match side {
            Side::First => Ok(&mut self.first),
            Side::Second => self
                .second
                .as_mut()
                .ok_or_else(|| Error::usage("there is no second target; call pair_with before")),
        }
    }
}

impl OtherTarget {
    /// What to connect to, if that is not what `first` is connected to.
    fn target(&self, first: Option<&Target>) -> Result<Option<Target>> {
        let region = |usual: &Option<String>| self.region.clone().or_else(|| usual.clone());
        match (&self.url, first) {
            (None, _) if self.region.is_none() => Ok(None),
            (Some(url), Some(Target::Aws { region: usual } | Target::Url { region: usual, .. }))
            | (None, Some(Target::Url { url, region: usual })) => {
                Ok(Some(Target::Url { url: url.clone(), region: region(usual) }))
            }
            (None, Some(Target::Aws { .. })) => Ok(Some(Target::Aws { region: self.region.clone() })),
            (_, None) => Err(Error::usage("an emulator in this process has one Region; name another model")),
        }
    }
}
