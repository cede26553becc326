use serde::{Deserialize, Serialize};

use super::Service;

/// Which requests share the quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), clap(rename_all = "snake_case"))]
#[serde(rename_all = "snake_case")]
pub enum Pools {
    /// All of them.
    #[default]
    One,
    /// Those for one model in one Region: each model in each Region has quotas of its own.
    Each,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    /// Model id, inference profile or ARN.
    pub(crate) model: &'a str,
    pub(crate) region: &'a str,
}

/// The service of every route.
#[derive(Debug)]
pub(super) struct Services {
    shared: Service,
    own: Vec<(String, Service)>,
}

impl Services {
    pub(super) fn new(shared: Service) -> Self {
        Self { shared, own: Vec::new() }
    }

    /// The one that all routes share if they share one.
    pub(super) fn shared(&mut self) -> &mut Service {
        &mut self.shared
    }

    pub(super) fn of(&mut self, route: Route<'_>) -> &mut Service {
        if self.shared.config().pools == Pools::One {
            return &mut self.shared;
        }
        let name = format!("{} in {}", route.model, route.region);
        let index = self.own.iter().position(|(of, _)| *of == name).unwrap_or_else(|| {
            let service = self.shared.another(self.own.len() as u64);
            self.own.push((name, service));
            self.own.len() - 1
        });
        &mut self.own[index].1
    }
}
