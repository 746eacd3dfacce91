//! `property`: properties of a model's answers over random questions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use circuitcheck::analysis::property::evidence::{PropertyEvidence, PropertyStanding};
use circuitcheck::analysis::property::{
    Kept, NODES, Property, PropertyOptions, Separates, check, properties, read_own,
};
use circuitcheck::inputs::model::ModelFolder;
use circuitcheck::report::{property_summary, store_properties};
use clap::Args;
use clap::error::ErrorKind;
use serde::Serialize;

use crate::cli::args::count::{MOST_CASES, count_to};
use crate::cli::args::decode::DecodeArg;
use crate::cli::args::model::ModelArg;
use crate::cli::args::names::nearest;
use crate::cli::args::seed::SeedArg;
use crate::cli::args::share;
use crate::cli::term::error::{CliError, warn};
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output::{JsonArg, hold, wrote};
use crate::cli::term::progress::with_progress;
use crate::cli::term::style;
use crate::cli::term::table::{Cell, Side, Table};
use crate::cli::usage_error;

/// Test properties of the model's answers over random questions
///
/// Half of the cases of each property are drawn uniformly, half from the groups on which models
/// break: complexity classes, carry and borrow chains of every length at every place, equal operands,
/// leading zeros, operands apart by one, nines and one. Failing cases are shrunk to the simplest.
///
/// Writes property.json and property.md, and keeps failing cases in property-kept.txt beside them;
/// kept cases are asked first the next time. The same model, seed and kept cases give the same files
/// whatever the number of threads.
///
/// The property "nodes" is measured for each claim of features.json: whether the node's output tells
/// the values of its variable apart.
#[derive(Debug, Args)]
#[command(name = "property")]
#[command(after_help = "\
Examples:
  circuitcheck property
  circuitcheck property models/w126_add_d5_l2* --property answers,local --cases 20k
  circuitcheck property --property \"P15L0H2 A1.SC\"
  circuitcheck property --properties my-properties.toml --decode free-running
  circuitcheck property --list")]
pub struct PropertyTest {
    #[command(flatten)]
    model: ModelArg,
    /// Only these properties, "nodes", or claims such as "P9L0H1 A1.ST"
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    property: Vec<String>,
    /// A TOML file of one property of your own, or a folder of them; without it,
    /// hypotheses/properties where that is there
    #[arg(long, value_name = "PATH")]
    properties: Option<PathBuf>,
    /// Distinct cases drawn of each property
    #[arg(long, value_name = "N", default_value_t = PropertyOptions::default().cases, value_parser = count_to::<usize>(MOST_CASES), allow_negative_numbers = true)]
    cases: usize,
    #[command(flatten)]
    draws: SeedArg,
    #[command(flatten)]
    reading: DecodeArg,
    /// Logits by which the property "confident" has the right token lead
    #[arg(long, value_name = "LOGITS", default_value_t = PropertyOptions::default().margin, value_parser = positive)]
    margin: f32,
    /// Share of the distance between outputs of different values up to which a node's output counts
    /// as the same
    #[arg(long, value_name = "SHARE", default_value_t = PropertyOptions::default().distance, value_parser = share)]
    distance: f64,
    /// Folder for the report; without it, reports/<model>/, and none where --property is given
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// List the properties there are, and test nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    format: JsonArg,
}

fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        Ok(value) => Err(format!("{value} is not above zero")),
        Err(error) => Err(error.to_string()),
    }
}

impl PropertyTest {
    pub fn run(self) -> Result<ExitCode, CliError> {
        let folder = self.model.open_folder()?;
        let own = read_own(self.properties.as_deref(), folder.weights.shape().n_digits)?;
        if self.list {
            self.format.print(&self.listed(&folder, own)?)?;
            return Ok(ExitCode::Success);
        }
        let options = self.options(self.names(&folder, &own)?);
        let beside = match &self.out {
            Some(out) => out.clone(),
            None => Path::new("reports").join(&folder.name),
        };
        let writes = self.out.is_some() || self.property.is_empty();
        let _held = writes.then(|| hold(&beside, "property")).transpose()?;
        let mut kept = Kept::read(&beside)?;
        let evidence =
            with_progress(|progress| check(&folder, own, &mut kept, &options, progress))?;
        // Where files cannot be written, what was measured is printed nevertheless.
        let stored = match writes {
            true => store_properties(&beside, &evidence, &kept, &self.model.shown()),
            false => Ok(()),
        };
        let heading = self.model.heading(&folder.name).seed(self.draws.seed);
        let heading = heading.decode(self.reading.decode());
        self.format.print_under(
            &heading,
            &Tested {
                evidence: &evidence,
                model: self.model.shown(),
            },
        )?;
        warn_of_what_was_not_asked(&evidence);
        stored?;
        if writes {
            wrote("property.json and property.md", &beside);
        }
        Ok(evidence.conclusion().into())
    }

    /// The names given, as the properties and claims have them.
    fn names(&self, folder: &ModelFolder, own: &[Property]) -> Result<Vec<String>, CliError> {
        let n_digits = folder.weights.shape().n_digits;
        let known = properties(n_digits, self.margin, own.to_vec())?;
        let known = known.iter().map(|property| property.name.as_str());
        let known: Vec<&str> = known.chain([NODES]).collect();
        let named = |name: &String| {
            let name = name.trim();
            // A claim, whose name has a blank, is looked up with the claims.
            if name.contains(' ') {
                return Ok(name.to_ascii_uppercase());
            }
            if let Some(known) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                return Ok((*known).to_owned());
            }
            let mut message = format!("unknown property {name:?}");
            if let Some(near) = nearest(name, known.iter().copied()) {
                message += &format!(", did you mean {near:?}?");
            }
            message += &format!(
                "\n\nThere are {}, and claims such as \"P9L0H1 A1.ST\"\n",
                known.join(", ")
            );
            Err(usage_error("property", ErrorKind::ValueValidation, message))
        };
        self.property.iter().map(named).collect()
    }

    fn options(&self, names: Vec<String>) -> PropertyOptions {
        PropertyOptions {
            cases: self.cases,
            seed: self.draws.seed,
            decode: self.reading.decode(),
            margin: self.margin,
            distance: self.distance,
            names,
            ..PropertyOptions::default()
        }
    }

    fn listed(
        &self,
        folder: &ModelFolder,
        own: Vec<Property>,
    ) -> Result<ListedProperties, CliError> {
        let n_digits = folder.weights.shape().n_digits;
        let mut listed: Vec<ListedProperty> = properties(n_digits, self.margin, own)?
            .into_iter()
            .map(|property| {
                let (trained, not_asked) = property.trained(folder.operations());
                ListedProperty {
                    property: trained.name,
                    says: trained.says,
                    asked: !trained.clauses.is_empty(),
                    not_asked,
                }
            })
            .collect();
        listed.push(ListedProperty {
            property: NODES.to_owned(),
            says: "Each claimed node's output tells the values of its variable apart.".into(),
            asked: folder.features.is_some(),
            not_asked: match folder.features {
                Some(_) => Vec::new(),
                None => vec!["nothing is claimed: there is no features.json".into()],
            },
        });
        Ok(ListedProperties {
            model: folder.name.clone(),
            properties: listed,
        })
    }
}

/// One warning for each reason, with the properties it is about.
fn warn_of_what_was_not_asked(evidence: &PropertyEvidence) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for result in &evidence.properties {
        for reason in &result.not_asked {
            reasons.entry(reason).or_default().push(&result.property);
        }
    }
    for (reason, names) in reasons {
        warn(format_args!("not asked: {reason} ({})", names.join(", ")));
    }
}

#[derive(Debug, Serialize)]
struct ListedProperties {
    model: String,
    properties: Vec<ListedProperty>,
}

#[derive(Debug, Serialize)]
struct ListedProperty {
    property: String,
    says: String,
    asked: bool,
    not_asked: Vec<String>,
}

impl fmt::Display for ListedProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left; 2]);
        for listed in &self.properties {
            let mut says = listed.says.clone();
            for reason in &listed.not_asked {
                says += &format!(" Not asked: {reason}.");
            }
            table.row([Cell::styled(&listed.property, style::TITLE), says.into()]);
        }
        write!(f, "{table}")
    }
}

/// What was found, as text or JSON.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Tested<'a> {
    evidence: &'a PropertyEvidence,
    #[serde(skip)]
    model: String,
}

impl fmt::Display for Tested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evidence = self.evidence;
        if !evidence.properties.is_empty() {
            self.write_properties(f)?;
        }
        if !evidence.nodes.is_empty() {
            if !evidence.properties.is_empty() {
                writeln!(f)?;
            }
            self.write_nodes(f)?;
        }
        writeln!(f, "\n{}", property_summary(evidence))
    }
}

impl Tested<'_> {
    fn write_properties(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left, Side::Left, Side::Right, Side::Right, Side::Left]);
        table.heading(["property", "holds", "cases", "failures", "drawn uniformly"]);
        for result in &self.evidence.properties {
            let style = match result.standing {
                PropertyStanding::Holds => style::RIGHT,
                PropertyStanding::Fails => style::WRONG,
                PropertyStanding::NotAsked => style::PLAIN,
            };
            let standing = Cell::styled(result.standing.name(), style);
            if result.standing == PropertyStanding::NotAsked {
                table.row([Cell::from(&result.property), standing]);
                continue;
            }
            let rates = result.uniform.iter().map(|uniform| {
                let class = uniform.group.to_string().replace(", uniform", "");
                format!("{class} {}", uniform.rate.rare_text())
            });
            let rates: Vec<String> = rates.collect();
            table.row([
                Cell::from(&result.property),
                standing,
                result.failures.trials.into(),
                result.failures.hits.into(),
                rates.join(", ").into(),
            ]);
        }
        write!(f, "{table}")?;
        for result in &self.evidence.properties {
            let Some(example) = result.counterexamples.first() else {
                continue;
            };
            let asked = example.question();
            writeln!(
                f,
                "\n{}: {}={}, expected {}; {} leads by {:.2}\n  fails in {}",
                result.property,
                asked.question,
                asked.answer,
                asked.truth,
                example.token,
                example.lead,
                result.failing_classes(),
            )?;
            for command in example.commands(&self.model) {
                writeln!(f, "  {command}")?;
            }
        }
        Ok(())
    }

    fn write_nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([Side::Left; 5]);
        table.heading(["claim", "", "separation", "same", "different"]);
        for node in &self.evidence.nodes {
            let style = match node.separates {
                Separates::Yes => style::RIGHT,
                Separates::No => style::WRONG,
                Separates::Undecided => style::WARNING,
                Separates::NotAsked => style::PLAIN,
            };
            let name = Cell::styled(node.separates.name(), style);
            match &node.measured {
                Some(measured) => table.row([
                    Cell::from(&node.claim),
                    name,
                    measured.separation.to_string().into(),
                    measured.same_within.to_string().into(),
                    measured.different_beyond.to_string().into(),
                ]),
                None => table.row([
                    Cell::from(&node.claim),
                    name,
                    node.not_asked.as_deref().unwrap_or_default().into(),
                ]),
            }
        }
        write!(f, "{table}")
    }
}
