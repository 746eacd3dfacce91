//! `circuitcheck shard plan`: what is to be asked of which models, cut into shards.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use circuitcheck::batch::shards::{Claims, Job, PlannedModel, ShardPlan, cost_of_block};
use circuitcheck::network::engine::Engine;
use clap::Args;

use super::open;
use crate::cli::args::count::{MOST_KEPT, count_or_none_to};
use crate::cli::args::decode::DecodeArg;
use crate::cli::args::models::Zoo;
use crate::cli::args::questions::AskedArgs;
use crate::cli::args::seed::SeedArg;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{tell, write};

/// How long a shard is to take where its number is not given: long beside what a scheduler takes to
/// start it, short beside what it would cost to lose.
const MINUTES: u64 = 20;

/// Time for which a model's speed is tried out.
const TRIED_FOR: Duration = Duration::from_millis(300);

/// Plan what to ask of which models, for any number of machines
///
/// The plan goes to standard output. It names every model by the digest of its weights, every question
/// and every shard; `work` does one shard, `status` tells what is missing, `merge` puts the results
/// together. They refuse a plan or a model that changed. The results are the same bytes for any number
/// of shards.
///
/// The claims of each model's features.json are put to the same questions: each question is patched with
/// the activations of the next, and counted is how often the answer is what the claim predicts. With
/// --exhaustive, answers alone are counted: neighbours are too much alike.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  circuitcheck shard plan 'models/*' --count 1e8 --shards 400 > plan.json
  circuitcheck shard plan hf://PhilipQuirke/VerifiedArithmetic > plan.json
  circuitcheck shard plan models/w126_add_d5_l2* --exhaustive > plan.json
  sbatch --array=0-399 deploy/slurm/shards.sbatch plan.json")]
#[command(mut_arg("count", |count| {
    count.help("Random questions for each model").default_value("1000000")
}))]
#[command(mut_arg("enriched", |enriched| {
    enriched.help("Draw them as in training, with more carries and borrows")
}))]
#[command(mut_arg("seed", |seed| seed.conflicts_with("exhaustive")))]
pub struct PlanCommand {
    #[command(flatten)]
    zoo: Zoo,
    #[command(flatten)]
    asked: AskedArgs,
    /// Count answers alone, and put no claims to the questions
    #[arg(long)]
    no_claims: bool,
    #[command(flatten)]
    reading: DecodeArg,
    /// Shards to cut the work into; without it, as many as take 20 minutes each on a machine like this
    #[arg(long, value_name = "N")]
    shards: Option<NonZeroU64>,
    #[command(flatten)]
    draws: SeedArg,
    /// Keep this many wrong answers of each model, the first; the others are counted
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count_or_none_to::<usize>(MOST_KEPT))]
    keep: usize,
}

impl PlanCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let decode = self.reading.decode();
        let mut models = Vec::new();
        let mut costs = Vec::new();
        let mut seconds = 0.0;
        for location in self.zoo.locations()? {
            let folder = open(&location)?;
            let questions = self.asked.questions(&folder, self.draws.seed)?;
            let claims = if self.asked.exhaustive || self.no_claims {
                Claims::default()
            } else {
                let (claims, untestable) = Claims::of(&folder)?;
                if untestable > 0 {
                    warn(format_args!(
                        "{location}: {untestable} claims cannot be tested and are left out"
                    ));
                }
                claims
            };
            costs.push(cost_of_block(&folder.weights.shape(), &questions, &claims));
            if self.shards.is_none() {
                let engine = Engine::new(&folder.weights);
                let job = Job {
                    engine: &engine,
                    questions: &questions,
                    claims: &claims,
                    decode,
                    keep: self.keep,
                };
                seconds += seconds_in_all(&job)?;
            }
            models.push(PlannedModel::new(location, &folder, &questions, &claims));
        }
        let shards = match self.shards {
            Some(shards) => shards.get(),
            None => {
                let blocks: u64 = models.iter().map(PlannedModel::blocks).sum();
                let wanted = (seconds / (60 * MINUTES) as f64).ceil() as u64;
                let shards = wanted.clamp(1, blocks.max(1));
                let minutes = (seconds / 60.0 / shards as f64).ceil() as u64;
                let counted = |count: u64, what: &str| match count {
                    1 => format!("1 {what}"),
                    count => format!("{count} {what}s"),
                };
                tell(format_args!(
                    "{} of about {} on a machine like this",
                    counted(shards, "shard"),
                    counted(minutes, "minute")
                ));
                shards
            }
        };
        let plan = ShardPlan::new(models, &costs, decode, self.keep, shards)?;
        write(plan.to_json())?;
        Ok(ExitCode::Success)
    }
}

/// How long all of it would take here.
fn seconds_in_all(job: &Job<'_>) -> Result<f64, CliError> {
    let blocks = job.questions.blocks();
    let at_once = (rayon::current_num_threads() as u64).min(blocks);
    let started = Instant::now();
    let mut done = 0;
    while done < blocks && (done == 0 || started.elapsed() < TRIED_FOR) {
        let until = (done + at_once).min(blocks);
        job.blocks(0, done..until)?;
        done = until;
    }
    Ok(started.elapsed().as_secs_f64() / done.max(1) as f64 * blocks as f64)
}
