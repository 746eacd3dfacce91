//! `circuitcheck verify`: the main job.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use circuitcheck::domain::node::NodeName;
use circuitcheck::domain::task::Task;
use circuitcheck::experiment::Rules;
use circuitcheck::inputs::claims::Claim;
use circuitcheck::inputs::model::{ModelFolder, RawFile};
use circuitcheck::report::{
    ClaimView, EVIDENCE_FILE, explanation, margins, store_verification, summary_line,
};
use circuitcheck::verify::evidence::Evidence;
use circuitcheck::verify::{
    Decoding, EXIT_FIRST, MOVE_FOR_OTHERS, Options, VerdictKind, claims_to_verify, verify,
};
use clap::Args;
use clap::error::ErrorKind;

use super::behaviors::{Behaviors, Shared, report};
use super::report::{REPORTS, ReportForm, write_forms};
use super::tagged_file::read_tagged_file;
use crate::cli::args::count::{MOST_TRIALS, count_to};
use crate::cli::args::decode::{decoding, spelled};
use crate::cli::args::filter::Filter;
use crate::cli::args::model::{Model, ModelArg};
use crate::cli::args::names::{nearest, node, task};
use crate::cli::args::seed::SeedArg;
use crate::cli::args::{alpha, share};
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::heading::Heading;
use crate::cli::term::output::{hold, tell, write, wrote};
use crate::cli::term::progress::{VERIFICATION, with_progress, with_progress_of};
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::usage_error;

/// Check every claim about a model by intervening on its network
///
/// The claims are those of the folder's features.json, or of --features.
///
/// Prints a table of claims with their verdicts, and writes evidence.json, run.json and the report
/// (`report` writes it again from these files).
/// The same model, claims and seed give the same evidence.json, byte for byte, whatever the number
/// of threads; times, costs by phase, margins and the machine are in run.json.
///
/// Verdicts: supported, joint (a set holds and needs the node), joint in part, redundant (holds once
/// other carriers are mean-ablated), partial (holds on part of its domain), not shown (neither the node
/// nor any set found holds), refuted, unspecific (counts as refuted), correlational (attention alone),
/// inconclusive, not testable. `explain joint` says more about each.
///
/// With --json the evidence is printed: schema, inputs, protocol, baseline, summary, and claims[],
/// each with claim, node, nodes, task, digit, published, verdict, because (what the verdict rests
/// on) and trials.
///
/// With --behaviors the tags of behaviors.json are measured again instead, on fresh question sets
/// drawn as the published one was. Enriched and plain sets alternate, since percents depend on
/// that. A percent is reproduced if it lies in the prediction interval for one more set of some kind
/// (undecided where that is wider than 20 points), a text if at least half of the sets give it. Tags of
/// 2026 (Probe, Edge) are measured on questions of their own, as published and by an assay that can
/// fail. Verdicts: reproduced (also without quirks, or soundly), only with the quirks named, only as
/// published, not reproduced, undecided, not measured. The files are behaviors-evidence.json and behaviors.md, and
/// --alpha is the error of each interval. With --json: schema, inputs, sets, clusterings, alpha, seed,
/// summary, and tags[], each with node, tag, published (the reading under the published protocol),
/// strict (that without quirks, or soundly) and verdict.
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
    /// Only claims whose text matches, e.g. "A1 and not SC": words with and, or, not, parentheses
    #[arg(short = 'k', value_name = "EXPR")]
    matching: Option<Filter>,
    /// Stop at the first claim that is refuted; claims are tested variable by variable
    #[arg(short = 'x', long = "exitfirst")]
    exit_first: bool,
    /// Only claims that the stored evidence refutes; writes files only where --out names a folder
    #[arg(long)]
    last_failed: bool,
    /// Interchange accuracy that a claim must reach, at the lower bound of its interval
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().threshold, value_parser = share)]
    threshold: f64,
    /// Chance that any bound of the file's testable claims is wrong; what a search misses is not covered
    #[arg(long, value_name = "SHARE", default_value_t = Rules::default().alpha, value_parser = alpha)]
    alpha: f64,
    /// Counterfactual trials after which a claim's sampling ends
    #[arg(long, value_name = "N", default_value_t = Rules::default().max_trials, value_parser = count_to::<usize>(MOST_TRIALS), allow_negative_numbers = true)]
    max_trials: usize,
    #[command(flatten)]
    draws: SeedArg,
    /// Which answer tokens the model reads: those of the true answer (teacher-forced), those it
    /// predicts (free-running), or one beside the other
    #[arg(long, value_name = "HOW", default_value = spelled(Decoding::Forced.name()), value_parser = decoding(Decoding::ALL, Decoding::name))]
    decode: Decoding,
    /// Folder for the report; without it, reports/<model>/, and none with -k, -x or another filter
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Forms of the report
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["html", "md", "json"])]
    format: Vec<ReportForm>,
    /// Print the whole trail of one claim, such as "P9L0H1 A1.ST", instead of the table; stored evidence
    /// is used where it is of the same model, claims and options
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
        let features = self.features.as_deref().map(read_tagged_file).transpose()?;
        let mut options = self.options();
        let (file, claims) = claims_to_verify(&model.folder, features.as_ref(), &options)?;
        let explained = (self.explain.as_deref())
            .map(|wanted| claims_called(wanted, &claims, &model.folder.name))
            .transpose()?;
        if let Some(explained) = &explained {
            if let Some(evidence) = self.stored(&model, file, &options, explained)? {
                return explain(&model, &evidence, explained, &self.model.shown());
            }
            options.tasks = self.tasks(explained);
        }
        self.narrow(&mut options, &claims, &model)?;
        let out = self.out_folder(&model.folder);
        let _held = out.as_deref().map(|out| hold(out, "verify")).transpose()?;
        let (evidence, elapsed) = measure(&model.folder, features.as_ref(), &options)?;
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = (out.as_deref())
            .map(|out| self.store(out, &model, features, &evidence, elapsed))
            .transpose();
        let mut code = evidence.conclusion().into();
        if self.json {
            write(evidence.to_json())?;
        } else if let Some(explained) = &explained {
            code = explain(&model, &evidence, explained, &self.model.shown())?;
        } else {
            print_table(&self.heading(&model, &evidence), &evidence)?;
            if evidence.protocol.filters.iter().any(|f| f == EXIT_FIRST) {
                tell("stopped at a refuted claim; later variables were not tested");
            }
        }
        stored?;
        if let Some(out) = &out {
            wrote("evidence.json and the report", out);
        }
        Ok(code)
    }

    /// Writes the evidence and the report. The claims that were tested are the report's, whichever file
    /// they are in.
    fn store(
        &self,
        out: &Path,
        model: &Model,
        features: Option<RawFile>,
        evidence: &Evidence,
        elapsed: Duration,
    ) -> Result<(), CliError> {
        let report = store_verification(
            out,
            &model.folder,
            &model.engine,
            evidence,
            elapsed,
            features.as_ref(),
            &self.model.shown(),
        )?;
        write_forms(&report, model, out, &self.format)?;
        Ok(())
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
            tasks: self.task.clone(),
            nodes: self.node.clone(),
            exit_first: self.exit_first,
            ..Options::default()
        }
    }

    /// The tasks filtered for. For the trail of one claim these are its own and those whose claims may
    /// move the tokens it does not: its trials do not depend on any others.
    fn tasks(&self, explained: &[Claim]) -> Vec<Task> {
        let variables = explained
            .iter()
            .filter_map(|claim| claim.variable.as_ref().ok());
        let mut tasks: Vec<Task> = variables.map(|variable| variable.task).collect();
        if !self.task.is_empty() || tasks.is_empty() {
            return self.task.clone();
        }
        tasks.extend(MOVE_FOR_OTHERS);
        tasks.sort();
        tasks.dedup();
        tasks
    }

    /// Narrows the claims by -k and by --last-failed.
    fn narrow(
        &self,
        options: &mut Options,
        claims: &[Claim],
        model: &Model,
    ) -> Result<(), CliError> {
        if self.matching.is_none() && !self.last_failed {
            return Ok(());
        }
        let failed = match self.last_failed {
            true => Some(self.failed_before(model)?),
            false => None,
        };
        let selected = claims.iter().filter(|claim| {
            let text = claim.to_string();
            let matches = self.matching.as_ref();
            matches.is_none_or(|filter| filter.selects(&text))
                && failed.as_ref().is_none_or(|failed| failed.contains(&text))
        });
        options.claims = selected
            .filter_map(|claim| Some((claim.node, claim.variable.clone().ok()?)))
            .collect();
        if options.claims.is_empty() {
            let message = match self.last_failed {
                true => "no claim that can be tested is among those that failed before",
                false => "no claim that can be tested matches -k",
            };
            let message = format!("{message}: the file makes {} claims\n", claims.len());
            return Err(usage_error("verify", ErrorKind::ValueValidation, message));
        }
        Ok(())
    }

    /// The evidence stored for this model: in --out, or in reports/<model>/.
    fn stored_file(&self, model: &Model) -> PathBuf {
        let usual = || Path::new(REPORTS).join(&model.folder.name);
        self.out.clone().unwrap_or_else(usual).join(EVIDENCE_FILE)
    }

    fn failed_before(&self, model: &Model) -> Result<BTreeSet<String>, CliError> {
        let path = self.stored_file(model);
        let wrong = |error: &dyn Display| {
            CliError::input(path.display(), error)
                .with_hint("verify without --last-failed first, or name its folder with --out")
        };
        let file = RawFile::read(&path).map_err(|error| wrong(&error))?;
        let evidence = Evidence::from_json(&file.bytes).map_err(|error| wrong(&error))?;
        if evidence.inputs.weights_sha256 != model.folder.weights_sha256 {
            return Err(wrong(&"is of other weights"));
        }
        let claims = evidence.claims.into_iter();
        let failed = claims.filter(|claim| claim.verdict.kind().refutes());
        Ok(failed.map(|claim| claim.claim).collect())
    }

    /// Stored evidence of these claims, by the same rules, if there is any.
    fn stored(
        &self,
        model: &Model,
        file: &RawFile,
        options: &Options,
        explained: &[Claim],
    ) -> Result<Option<Evidence>, CliError> {
        let path = self.stored_file(model);
        if !path.exists() {
            return Ok(None);
        }
        // What cannot be read is no evidence, and is made instead.
        let Ok(evidence) = Evidence::from_json(&RawFile::read(&path)?.bytes) else {
            return Ok(None);
        };
        let (inputs, protocol) = (&evidence.inputs, &evidence.protocol);
        let is_same = inputs.weights_sha256 == model.folder.weights_sha256
            && inputs.features_sha256 == file.sha256
            && protocol.rules() == options.rules
            && protocol.decode == options.decoding;
        let is_there = |claim: &Claim| {
            let text = claim.to_string();
            evidence.claims.iter().any(|found| found.claim == text)
        };
        if !is_same || !explained.iter().all(is_there) {
            return Ok(None);
        }
        tell(format_args!("from {}", path.display()));
        Ok(Some(evidence))
    }

    fn heading(&self, model: &Model, evidence: &Evidence) -> Heading {
        let claims = evidence.claims.len();
        let file = match &self.features {
            Some(file) => file.display().to_string(),
            None => "features.json".to_owned(),
        };
        let protocol = &evidence.protocol;
        model
            .heading()
            .and(format_args!("{claims} claims of {file}"))
            .seed(protocol.seed)
            .and(spelled(protocol.decode.name()))
            .and(format_args!("threshold {}", protocol.threshold))
            .and(format_args!("alpha {}", protocol.alpha))
    }

    fn out_folder(&self, folder: &ModelFolder) -> Option<PathBuf> {
        let filtered = !self.task.is_empty()
            || !self.node.is_empty()
            || self.matching.is_some()
            || self.exit_first
            || self.last_failed;
        match &self.out {
            Some(out) => Some(out.clone()),
            None if filtered || self.explain.is_some() => None,
            None => Some(Path::new(REPORTS).join(&folder.name)),
        }
    }
}

/// The claims that are called so: by node and tag, or by the tag alone.
fn claims_called(wanted: &str, claims: &[Claim], model: &str) -> Result<Vec<Claim>, CliError> {
    let called = |claim: &&Claim| {
        let texts = [claim.to_string(), claim.text.clone()];
        texts
            .iter()
            .any(|text| text.eq_ignore_ascii_case(wanted.trim()))
    };
    let found: Vec<Claim> = claims.iter().filter(called).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let texts: Vec<String> = claims.iter().map(Claim::to_string).collect();
    let upper = wanted.to_uppercase();
    let near = nearest(&upper, texts.iter().map(String::as_str));
    let message = format!("no claim reads {wanted:?}");
    Err(CliError::input(model, message).with_hint(match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("claims read like \"{}\"", texts[0]),
    }))
}

/// Prints the trail of claims, each under a sentence that says what was found.
fn explain(
    model: &Model,
    evidence: &Evidence,
    explained: &[Claim],
    shown: &str,
) -> Result<ExitCode, CliError> {
    let margins = margins(&model.engine, evidence)?;
    for wanted in explained {
        let text = wanted.to_string();
        let claims = ClaimView::all(evidence, shown);
        for claim in claims.iter().filter(|claim| claim.claim == text) {
            let margin = margins.iter().find(|margin| margin.claim == claim.claim);
            let margin = margin.map(|margin| margin.logit_margin);
            let sentence = in_words(claim);
            write(format_args!(
                "{sentence}\n\n{}",
                explanation(claim, evidence, margin)
            ))?;
        }
    }
    let mut only = evidence.clone();
    let texts: Vec<String> = explained.iter().map(Claim::to_string).collect();
    only.claims.retain(|claim| texts.contains(&claim.claim));
    Ok(only.conclusion().into())
}

/// The verdict of a claim as a sentence.
fn in_words(claim: &ClaimView) -> String {
    let ClaimView {
        claim: name, node, ..
    } = claim;
    let variable = claim.tag;
    let rate = claim
        .lowest_interchange_accuracy()
        .map_or_else(String::new, |rate| {
            format!(" ({:.1} % of {} pairs)", 100.0 * rate.share(), rate.trials)
        });
    let set = || {
        let names: Vec<String> = claim.nodes.iter().map(NodeName::to_string).collect();
        names.join(" and ")
    };
    let found = match claim.verdict {
        VerdictKind::Supported => format!(
            "is supported: patching {node} changes the answer as {variable} predicts{rate}, and little else"
        ),
        VerdictKind::Unspecific => format!(
            "is unspecific: patching {node} gives the answer that {variable} predicts{rate}, but it also changes other answers, or other nodes do as well"
        ),
        VerdictKind::Joint => format!(
            "is true only of a set: {} together represent {variable}{rate}, and no part of them does",
            set()
        ),
        VerdictKind::JointInPart => format!(
            "is true of a set in part: {} together represent {variable} on some questions{rate}",
            set()
        ),
        VerdictKind::Redundant => format!(
            "is redundant: {node} decides {variable} only once the other nodes that represent it are mean-ablated{rate}"
        ),
        VerdictKind::Partial => format!(
            "is true in part: patching {node} changes the answer as {variable} predicts on some questions{rate}"
        ),
        VerdictKind::Refuted => format!(
            "is refuted: patching {node} does not change the answer as {variable} predicts{rate}"
        ),
        VerdictKind::NotShown => format!(
            "is not shown: {node} alone does not represent {variable}{rate}, and no set was found that does and needs it"
        ),
        VerdictKind::Correlational => format!(
            "is correlational: {node} attends as claimed, but patching it does not change the answer as {variable} predicts{rate}"
        ),
        VerdictKind::Inconclusive => format!(
            "is inconclusive: the trials ended before they decided whether {node} represents {variable}{rate}"
        ),
        VerdictKind::NotTestable => "cannot be tested".to_owned(),
    };
    format!("{name} {found}.")
}

/// Verifies with a progress bar; also returns how long it took.
pub fn measure(
    folder: &ModelFolder,
    features: Option<&RawFile>,
    options: &Options,
) -> Result<(Evidence, Duration), CliError> {
    let started = Instant::now();
    let evidence = with_progress_of(VERIFICATION, |progress| {
        verify(folder, features, options, progress)
    })?;
    Ok((evidence, started.elapsed()))
}

/// The claims with their verdicts, and the line that sums them up.
fn print_table(heading: &Heading, evidence: &Evidence) -> Result<(), CliError> {
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
    write(format_args!(
        "{heading}\n{table}\n{}\n",
        summary_line(evidence)
    ))?;
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
