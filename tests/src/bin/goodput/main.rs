//! How much of a quota saturated clients use without being rejected, on the virtual clock.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod adaptive_retry;
mod client;
mod world;

use bedrock_tpm::{MechanismId, Result};
use bedrock_tpm_tests::on_all_cores;
use clap::Parser;
use serde::Serialize;

use self::client::ClientId;
use self::world::{Load, World};

/// Runs saturated clients against every mechanism, and says how much of the quota they use and how often they are
/// rejected.
#[derive(Parser)]
struct Arguments {
    /// Hours of virtual time of each run, 0.1 to 1,000
    #[arg(long, default_value_t = 24.0, value_parser = hours)]
    hours: f64,
    /// Seed of latencies, sizes and outputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What one client reached in one world.
#[derive(Serialize)]
struct Row {
    load: Load,
    mechanism: MechanismId,
    client: ClientId,
    /// What was used of the quota that binds, in per cent.
    goodput: f64,
    /// The most that a client can use that keeps the order of its requests, in per cent.
    bound: f64,
    attempts: u64,
    throttled: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let rows = rows(&arguments)?;
    if arguments.json {
        println!("{:#}", serde_json::json!(rows));
        return Ok(());
    }
    for of_load in rows.chunk_by(|a, b| a.load == b.load) {
        println!(
            "\n{}, {} h: goodput in % of the quota / 429s in 1,000 attempts",
            of_load[0].load, arguments.hours
        );
        let names = ClientId::ALL.iter().map(|client| format!("{:>16}", client.id()));
        println!("{:<17} {:>6}{}", "mechanism", "bound", names.collect::<String>());
        for of_mechanism in of_load.chunk_by(|a, b| a.mechanism == b.mechanism) {
            let cells =
                of_mechanism.iter().map(|row| format!("{:>9.1} /{:>5.1}", row.goodput, row.rejected()));
            let (id, bound) = (of_mechanism[0].mechanism, of_mechanism[0].bound);
            println!("{:<17} {bound:>6.1}{}", id.id(), cells.collect::<String>());
        }
    }
    println!(
        "\nbound: the most that a client can use that sends requests in their order; who retries favours small ones"
    );
    println!("\n{:<44} {:>9} {:>9}", "figure", "required", "measured");
    let of = |client| rows.iter().filter(move |row| row.client == client);
    let most = |client, figure: fn(&Row) -> f64| of(client).map(figure).fold(0.0, f64::max);
    let share =
        of(ClientId::Knowing).map(|row| 100.0 * row.goodput / row.bound).fold(f64::INFINITY, f64::min);
    println!("{:<44} >= {:>6} {share:>9.2}", "knowing: least goodput, % of the bound", 97);
    let rejected = most(ClientId::Knowing, |row| row.throttled as f64);
    println!("{:<44} <= {:>6} {rejected:>9}", "knowing: most 429s in a run", 0);
    let rejected = most(ClientId::Unknowing, |row| row.rejected() / 10.0);
    println!("{:<44} <= {:>6} {rejected:>9.3}", "unknowing: most 429s in a run, %", 0.1);
    Ok(())
}

impl Row {
    /// 429s in 1,000 attempts.
    fn rejected(&self) -> f64 {
        1_000.0 * self.throttled as f64 / self.attempts.max(1) as f64
    }
}

fn hours(text: &str) -> std::result::Result<f64, String> {
    let hours = text.parse().ok().filter(|hours| (0.1..=1_000.0).contains(hours));
    hours.ok_or_else(|| "use 0.1 to 1000".into())
}

/// Every client in every world, on all cores.
fn rows(arguments: &Arguments) -> Result<Vec<Row>> {
    let worlds: Vec<World> = Load::ALL
        .into_iter()
        .flat_map(|load| MechanismId::ALL.map(|id| World::new(load, id, arguments.hours, arguments.seed)))
        .collect();
    let bounds = on_all_cores(worlds.len(), "bounds", |index| worlds[index].bound())?;
    let clients = ClientId::ALL.len();
    let mut rows = on_all_cores(worlds.len() * clients, "runs", |index| {
        let (world, client) = (&worlds[index / clients], ClientId::ALL[index % clients]);
        let tally = world.run(client)?;
        Ok(Row {
            load: world.load,
            mechanism: world.mechanism,
            client,
            goodput: world.goodput(&tally),
            bound: bounds[index / clients],
            attempts: tally.attempts,
            throttled: tally.throttled,
        })
    })?;
    rows.sort_by_key(|row| (row.load, row.mechanism, row.client));
    Ok(rows)
}
