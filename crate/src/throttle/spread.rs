use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Reservation, Throttle};
use crate::{Error, Result};

/// Sends each request where it can leave first: several Regions, inference profiles or models with quotas of their own,
/// each behind its [`Throttle`].
///
/// # Quotas that are shared
/// Targets that share one quota are one member here: counted as two, they would be sent twice what it allows.
/// `bedrock-tpm measure` with `--paired-model`, `--paired-region` or `--paired-endpoint-url` tells whether two do.
///
/// # Who is next
/// First come, first served, at all members: a request queues at each of them, and takes the first that opens. A member
/// that a 429 has made cautious opens more seldom, and so gets less. One for which a request is too large leaves it to
/// the others.
///
/// ```
/// use bedrock_tpm::{Clock, Spread, Throttle, ThrottleSettings, Timestamp, Usage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> bedrock_tpm::Result<()> {
/// let regions = ["us-east-1", "us-west-2"];
/// let clock = Clock::virtual_from(Timestamp::EPOCH);
/// let throttle = |_| Throttle::new(ThrottleSettings::stated(Some(4_000), Some(4)), clock);
/// let spread = Spread::new(regions.into_iter().map(throttle).collect::<Result<_, _>>()?)?;
///
/// let (member, reservation) = spread.acquire(700, 300).await?;
/// println!("to {}", regions[member]);
/// // ... send the request there; when its answer is complete:
/// reservation.settle(Usage { input_tokens: 712, output_tokens: 85, ..Usage::default() });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Spread {
    members: Vec<Throttle>,
}

/// A request in the queue of one member.
struct Queued<F> {
    member: usize,
    acquired: Pin<Box<F>>,
}

impl Spread {
    /// Members, the preferred first: of those where a request can leave at once, it takes the first.
    ///
    /// # Errors
    /// A usage error if there are none.
    pub fn new(members: Vec<Throttle>) -> Result<Self> {
        match members.is_empty() {
            true => Err(Error::usage("there is nothing to spread requests over; give one throttle or more")),
            false => Ok(Self { members }),
        }
    }

    /// Waits until a request of about `input_tokens` that may answer with up to `max_tokens` is safe at one of the
    /// members, and reserves there what it needs. Returns which member, by its place in [`members`](Self::members). Send
    /// it at once.
    ///
    /// Dropping the future takes nothing and leaves the queues in order.
    ///
    /// # Errors
    /// A usage error at once if the request can never pass anywhere, because it is larger than a quota of each member.
    pub async fn acquire(&self, input_tokens: u64, max_tokens: u64) -> Result<(usize, Reservation)> {
        let queue = |(member, throttle): (usize, &'_ Throttle)| {
            let throttle = throttle.clone();
            let acquired = Box::pin(async move { throttle.acquire(input_tokens, max_tokens).await });
            Queued { member, acquired }
        };
        let mut queued: Vec<_> = self.members.iter().enumerate().map(queue).collect();
        let mut refused = Vec::new();
        // A task that has run for long would be queued at some members and not at others.
        tokio::task::unconstrained(poll_fn(|context| first_open(&mut queued, &mut refused, context))).await
    }

    /// The members, as they were given.
    pub fn members(&self) -> &[Throttle] {
        &self.members
    }
}

/// The first member that is open. Those that can never be leave the race.
fn first_open<F: Future<Output = Result<Reservation>>>(
    queued: &mut Vec<Queued<F>>,
    refused: &mut Vec<String>,
    context: &mut Context<'_>,
) -> Poll<Result<(usize, Reservation)>> {
    let mut next = 0;
    while let Some(Queued { member, acquired }) = queued.get_mut(next) {
        match acquired.as_mut().poll(context) {
            Poll::Ready(Ok(reservation)) => return Poll::Ready(Ok((*member, reservation))),
            Poll::Ready(Err(error)) => {
                queued.remove(next);
                refused.push(error.to_string());
            }
            Poll::Pending => next += 1,
        }
    }
    if !queued.is_empty() {
        return Poll::Pending;
    }
    refused.dedup();
    Poll::Ready(Err(Error::usage(refused.join("; "))))
}
