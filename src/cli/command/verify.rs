//! `circuitcheck verify`: the main job.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use circuitcheck::domain::node::{Component, NodeName};
use circuitcheck::domain::task::Task;
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::claims::Claim;
use circuitcheck::inputs::model::{ModelFolder, RawFile};
use circuitcheck::report::{
    ClaimView, Format, Margin, explanation, margins, store_attention, store_evidence, store_report,
    stored_report, summary_line,
};
use circuitcheck::verify::evidence::Evidence;
use circuitcheck::verify::{
    Decoding, MOVE_FOR_OTHERS, Options, VerdictKind, claims_to_verify, verify,
};
use clap::Args;

use super::behaviors::{Behaviors, Shared, report};
use super::report::REPORTS;
use crate::cli::args::count::count;
use crate::cli::args::decode::{decoding, spelled};
use crate::cli::args::model::ModelArg;
use crate::cli::args::names::{node, task};
use crate::cli::args::seed::SeedArg;
use crate::cli::args::share;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{hold, write, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};

/// Check every claim about a model by intervening on its network
///
/// The claims are those of the folder's features.json, or of --features.
///
/// Prints a table of claims with their verdicts, and writes evidence.json, run.json and the report
/// (`report` makes it again from what is written).
/// The same model, claims and seed give the same evidence.json, byte for byte, whatever the number
/// of threads; times, margins and the machine stand in run.json.
///
/// Verdicts: supported, unspecific (counts as refuted), joint (a set holds, which needs the node),
/// redundant (holds once other carriers are mean-ablated), partial (holds on part of its domain),
/// refuted, correlational (attention alone), inconclusive, not testable.
///
/// With --json the evidence is printed: schema, inputs, protocol, baseline, summary, and claims[],
/// each with claim, node, nodes, task, digit, published, verdict, because (what the verdict rests
/// on) and trials.
///
/// With --behaviors the tags of behaviors.json are measured again instead, on fresh question sets
/// drawn as the published one was. Enriched and plain sets are taken in turn, since percents hang on
/// that. A percent comes out again if it lies in the prediction interval for one more set of some kind
/// (and is undecided where that is wider than 20 points), a text if half of the sets or more give it. Verdicts: reproduced (also without quirks), only with the quirks named, not
/// reproduced, undecided, not measured. The files are behaviors-evidence.json and behaviors.md, and
/// --alpha is the error of each interval. With --json: schema, inputs, sets, clusterings, alpha, seed,
/// summary, and tags[], each with node, tag, published (the reading under the published protocol),
/// strict (that without quirks) and verdict.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    model: ModelArg,
    /// Claims to check instead of the folder's features.json
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Only claims of these tasks, e.g. ST,SC
    #[arg(long, value_name = "TASK", value_delimiter = ',', value_parser = task(), ignore_case = true, hide_possible_values = true)]
    task: Vec<Task>,
    /// Only claims of these nodes, e.g. P12L0H1,P12L0M0
    #[arg(long, value_name = "NODE", value_delimiter = ',', value_parser = node)]
    node: Vec<NodeName>,
    /// Interchange accuracy that a claim must reach, at the lower bound of its interval
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().threshold, value_parser = share)]
    threshold: f64,
    /// Chance that any bound of the file's testable claims is wrong; what a search misses is not covered
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = share)]
    alpha: f64,
    /// Counterfactual trials after which a claim's sampling ends
    #[arg(long, value_name = "N", default_value_t = Rules::default().max_trials, value_parser = count::<usize>, allow_negative_numbers = true)]
    max_trials: usize,
    #[command(flatten)]
    draws: SeedArg,
    /// Which answer tokens the model reads: those of the true answer (teacher-forced), those it
    /// predicts (free-running), or one beside the other
    #[arg(long, value_name = "HOW", default_value = spelled(Decoding::Forced.name()), value_parser = decoding(Decoding::ALL, Decoding::name))]
    decode: Decoding,
    /// Folder for the report; without it, reports/<model>/, and none where a filter is on
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the whole trail of one claim, such as "P9L0H1 A1.ST", instead of the table
    #[arg(long, value_name = "CLAIM", conflicts_with = "json")]
    explain: Option<String>,
    #[command(flatten)]
    behaviors: Behaviors,
    /// Print the evidence as one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self) -> Result<ExitCode, CliError> {
        let model = self.model.open()?;
        if self.behaviors.are_asked() {
            let shared = Shared {
                nodes: &self.node,
                alpha: self.alpha,
                seed: self.draws.seed,
                out: self.out.as_deref(),
            };
            let (evidence, out) =
                with_progress(|progress| self.behaviors.measure(&model, &shared, progress))?;
            return report(&evidence, out.as_deref(), self.json);
        }
        let features = self.features.as_deref().map(RawFile::read).transpose()?;
        let options = self.options();
        claims_to_verify(&model.folder, features.as_ref(), &options)?;
        let out = self.out_folder(&model.folder);
        let _held = out.as_deref().map(|out| hold(out, "verify")).transpose()?;
        let (evidence, elapsed) = measure(&model.folder, features.as_ref(), &options)?;
        if let Some(out) = &out {
            store_evidence(out, &model.engine, &evidence, elapsed)?;
            store_attention(out, &model.folder, &model.engine)?;
            // The claims that were tested are the report's, whichever file they stand in.
            let mut folder = model.folder.clone();
            folder.features = features.or(folder.features);
            let report = stored_report(out, Some(&folder), &self.model.shown())?;
            store_report(&report, out, &Format::ALL)?;
        }
        if self.json {
            write(evidence.to_json())?;
        } else if let Some(claim) = &self.explain {
            let margins = margins(&model.engine, &evidence)?;
            self.print_explanation(&evidence, &margins, claim)?;
        } else {
            print_table(&evidence)?;
        }
        if let Some(out) = &out {
            wrote("evidence.json and report.html", out);
        }
        Ok(evidence.conclusion().into())
    }

    fn options(&self) -> Options {
        Options {
            rules: Rules {
                threshold: self.threshold,
                alpha: self.alpha,
                max_trials: self.max_trials,
                seed: self.draws.seed,
            },
            decoding: self.decode,
            tasks: self.tasks(),
            nodes: self.node.clone(),
            ..Options::default()
        }
    }

    /// The tasks filtered for. For the trail of one claim these are its own and those whose claims may
    /// move the tokens it does not: its trials do not depend on any others.
    fn tasks(&self) -> Vec<Task> {
        let explained = self.explain.as_deref().and_then(|claim| {
            let (_, tag) = claim.rsplit_once(' ').unwrap_or(("", claim));
            let node = NodeName {
                position: 0,
                layer: 0,
                component: Component::Head(0),
            };
            Some(Claim::parse(node, tag).variable.ok()?.task)
        });
        match explained {
            Some(task) if self.task.is_empty() => {
                [task].into_iter().chain(MOVE_FOR_OTHERS).collect()
            }
            _ => self.task.clone(),
        }
    }

    fn out_folder(&self, folder: &ModelFolder) -> Option<PathBuf> {
        let filtered = !self.task.is_empty() || !self.node.is_empty();
        match &self.out {
            Some(out) => Some(out.clone()),
            None if filtered || self.explain.is_some() => None,
            None => Some(Path::new(REPORTS).join(&folder.name)),
        }
    }

    fn print_explanation(
        &self,
        evidence: &Evidence,
        margins: &[Margin],
        wanted: &str,
    ) -> Result<(), CliError> {
        let found: Vec<ClaimView> = ClaimView::all(evidence, &self.model.shown())
            .into_iter()
            .filter(|claim| claim.claim == wanted || claim.tag == wanted)
            .collect();
        if found.is_empty() {
            return Err(CliError::input(
                &evidence.inputs.model,
                format_args!(
                    "no claim reads {wanted:?}; claims read like \"{}\"",
                    evidence.claims[0].claim
                ),
            ));
        }
        for claim in found {
            let margin = margins.iter().find(|margin| margin.claim == claim.claim);
            let margin = margin.map(|margin| margin.logit_margin);
            write(explanation(&claim, evidence, margin))?;
        }
        Ok(())
    }
}

/// Verifies with a progress bar; also returns how long it took.
pub fn measure(
    folder: &ModelFolder,
    features: Option<&RawFile>,
    options: &Options,
) -> Result<(Evidence, Duration), CliError> {
    let started = Instant::now();
    let evidence = with_progress(|progress| verify(folder, features, options, progress))?;
    Ok((evidence, started.elapsed()))
}

/// The claims with their verdicts, and the line that sums them up.
fn print_table(evidence: &Evidence) -> Result<(), CliError> {
    let mut table = Table::new([Side::Left; 5]);
    table.heading(["claim", "published", "verdict", "IIA", "note"]);
    for claim in ClaimView::all(evidence, "") {
        let name = match claim.free_running {
            Some(free) => format!("{} / free: {free}", claim.verdict),
            None => claim.verdict.to_string(),
        };
        table.row([
            claim.claim.into(),
            claim.published.name().into(),
            Cell::styled(name, verdict_style(claim.verdict)),
            claim.evidence.interchange_accuracy_text().into(),
            claim.note.as_str().into(),
        ]);
    }
    write(format_args!("{table}\n{}\n", summary_line(evidence)))?;
    for class in evidence
        .baseline
        .classes
        .iter()
        .filter(|class| !class.passes)
    {
        warn(format_args!(
            "of {} questions the unpatched model answers {} rightly; claims about them are not testable",
            class.class, class.accuracy
        ));
    }
    Ok(())
}

fn verdict_style(verdict: VerdictKind) -> anstyle::Style {
    match verdict {
        VerdictKind::NotTestable => style::PLAIN,
        holds if holds.holds() => style::RIGHT,
        refuted if refuted.refutes() => style::WRONG,
        _ => style::WARNING,
    }
}
