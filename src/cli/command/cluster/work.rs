//! `circuitcheck shard work`: one shard of a plan.

use std::time::{Duration, Instant};

use circuitcheck::batch::shards::{Claims, Job, Piece, ShardPlan, ShardResult, Store};
use circuitcheck::network::engine::Engine;
use circuitcheck::verify::Progress;
use clap::Args;
use clap::error::ErrorKind;

use super::Planned;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::interrupt::on_interrupt;
use crate::cli::term::output::tell;
use crate::cli::term::progress::Bar;
use crate::cli::usage_error;

/// Where schedulers say which part of an array a process is: Slurm, HyperQueue, Kubernetes.
const INDEX_VARIABLES: [&str; 3] = ["SLURM_ARRAY_TASK_ID", "HQ_TASK_ID", "JOB_COMPLETION_INDEX"];

/// Do one shard of a plan
///
/// A finished shard is not repeated, and an interrupted one resumes: the same command may be run any
/// number of times. It ends with exit code 0 once the shard is done, whatever the result.
#[derive(Debug, Args)]
pub struct WorkCommand {
    #[command(flatten)]
    planned: Planned,
    /// Which shard, from 0; without it, what SLURM_ARRAY_TASK_ID, HQ_TASK_ID or JOB_COMPLETION_INDEX
    /// says
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Save what is done so often: what an interruption costs at most
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    save_every: u64,
}

impl WorkCommand {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let index = self.index()?;
        let plan = self.planned.read()?;
        let pieces = plan.shard(index)?;
        let store = Store::new(&plan, &self.planned.folder());
        if store.result(index)?.is_some() {
            tell(format_args!("shard {index} was done before"));
            return Ok(ExitCode::Success);
        }
        let _held = store.hold(index)?;
        let mut result = store.part(index)?;
        let rest = result.remaining(pieces);
        let blocks = |pieces: &[Piece]| pieces.iter().map(|piece| piece.to - piece.from).sum();
        let (of, left): (u64, u64) = (blocks(pieces), blocks(&rest));
        if left < of {
            tell(format_args!(
                "shard {index} goes on: {} of {of} blocks were done before",
                of - left
            ));
        }
        let mut watch = Watch {
            planned: &self.planned,
            store: &store,
            index,
            done: of - left,
            of,
            saved: Instant::now(),
            save_every: Duration::from_secs(self.save_every),
            bar: Bar::new(),
        };
        on_interrupt(format!(
            "what was saved of shard {index} (every {} s) is kept in {}; run the same command to resume",
            self.save_every,
            self.planned.folder().display()
        ));
        for piece in rest {
            do_piece(&plan, piece, &mut result, &mut watch)?;
        }
        drop(watch);
        store.keep(index, &result)?;
        Ok(ExitCode::Success)
    }

    fn index(&self) -> Result<u64, CliError> {
        if let Some(index) = self.index {
            return Ok(index);
        }
        for name in INDEX_VARIABLES {
            if let Ok(value) = std::env::var(name) {
                return value.parse().map_err(|_| {
                    CliError::input(name, format_args!("{value:?} is no shard's number"))
                });
            }
        }
        let names = INDEX_VARIABLES.join(", ");
        let message = format!("--index is not given, and none of {names} says which shard to do\n");
        Err(usage_error(
            "shard work",
            ErrorKind::MissingRequiredArgument,
            message,
        ))
    }
}

/// What becomes of a shard while it is done.
struct Watch<'a> {
    planned: &'a Planned,
    store: &'a Store<'a>,
    index: u64,
    done: u64,
    of: u64,
    saved: Instant,
    save_every: Duration,
    bar: Bar,
}

fn do_piece(
    plan: &ShardPlan,
    piece: Piece,
    result: &mut ShardResult,
    watch: &mut Watch<'_>,
) -> Result<(), CliError> {
    let planned = &plan.models()[piece.model];
    let folder = watch.planned.open(&planned.location)?;
    let questions = planned.questions(&folder)?;
    let claims = planned.claims(Claims::of(&folder)?.0)?;
    let engine = Engine::new(&folder.weights);
    let job = Job {
        engine: &engine,
        questions: &questions,
        claims: &claims,
        decode: plan.decode(),
        keep: plan.keep(),
    };
    // A block for each thread between two looks at the clock: tenths of a second.
    let at_once = rayon::current_num_threads() as u64;
    let mut next = piece.from;
    while next < piece.to {
        let until = (next + at_once).min(piece.to);
        result.add(job.blocks(piece.model, next..until)?, plan.keep());
        watch.done += until - next;
        next = until;
        watch.bar.show(Progress {
            phase: "blocks",
            done: watch.done as usize,
            of: watch.of as usize,
        });
        if watch.saved.elapsed() >= watch.save_every && watch.done < watch.of {
            watch.store.keep_part(watch.index, result)?;
            watch.saved = Instant::now();
        }
    }
    Ok(())
}
