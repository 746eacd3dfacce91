//! Checks published claims about what the parts of small arithmetic transformers compute, by
//! intervening on the network.
//!
//! A claim says that a node (one head, or one MLP, at one token position) computes one variable of
//! the arithmetic: `P17L0H1` performs `A0.SA`, the base sum of digit 0. To check it, the node's
//! activation in a run of one question is patched into a run of another, and the answer is compared
//! with what integer arithmetic predicts when that one variable is replaced and all else is kept.
//!
//! One complete claim:
//!
//! ```
//! use std::path::Path;
//!
//! use circuitcheck::inputs::model::ModelFolder;
//! use circuitcheck::verify::{Options, verify};
//!
//! let folder = ModelFolder::open(Path::new("models/w126_add_d5_l2_h3_t15K_s372001"))?;
//! let options = Options {
//!     nodes: vec!["P17L0H1".parse()?],
//!     ..Options::default()
//! };
//! let evidence = verify(&folder, None, &options, &mut |_| {})?;
//!
//! let claim = &evidence.claims[0];
//! assert_eq!(claim.claim, "P17L0H1 A0.SA");
//! assert_eq!(claim.verdict.name(), "supported");
//!
//! // Rests on: every one of 256 random pairs gave exactly the predicted answer, and no pair with
//! // equal base sums changed anything.
//! let measures = &claim.trials.as_ref().unwrap().alone;
//! let agreement = measures.agreement.values().next().unwrap();
//! assert_eq!((agreement.hits, agreement.trials), (256, 256));
//! assert_eq!(measures.placebo.hits, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of the data
//!
//! | module | owns |
//! |---|---|
//! | [`model`] | a model's files, read and checked: weights, name, training record |
//! | [`hub`] | models published on the hub, and copies of them on this machine |
//! | [`claims`] | features.json and behaviors.json: nodes, tags, and the claims they make |
//! | [`node`], [`task`], [`shape`] | what claims speak of |
//! | [`arithmetic`] | questions, answers, classes: the oracle, on integers |
//! | [`causal`] | each task's variable, what follows when it is replaced, and pairs of questions that tell |
//! | [`network`] | the plain forward pass, with candle: slow, and meant to be read |
//! | [`engine`] | the same network, recomputing only what an intervention can change |
//! | [`shards`] | the same questions asked by parts, on many machines, and put together |
//! | [`sweep`] | what was found of many models, put together |
//! | [`stats`] | rates with exact intervals |
//! | [`verify`] | trials, controls, verdicts |
//! | [`difference`] | what differs between two claims or behaviours files |
//! | [`discover`] | a model described anew from its weights, by the published protocol |
//! | [`accuracy`] | how often a model answers rightly, over a sample or a whole space of questions |
//! | [`carries`] | which variables nodes carry: a catalogue put to them by interchange |
//! | [`coverage`] | load-bearing nodes that no claim explains |
//! | [`graph`] | which claims feed which others and which answer tokens |
//! | [`hypothesis`], [`circuit`] | whole algorithms: what must be there, and how well it does alone |
//! | [`lock`] | one process at a time in one place |
//! | [`evidence`] | the result that every report is made from |
//! | [`property`] | relations between answers, tested on random questions, and how failing ones are made simple |
//! | [`tables`] | columns of values with what they hold, as Parquet files |
//! | [`report`] | reports, and how they get onto disk |

pub mod analysis;
pub mod batch;
pub mod domain;
pub mod experiment;
pub mod inputs;
pub mod network;
pub mod report;
pub mod storage;
pub mod verify;
